//! `containerd.services.leases.v1.Leases`.

use crate::Supervisor;
use crate::call::{Answer, answer, filters, required, scope, to_its_end};
use contracts_supervisor_api::services::leases::leases_server::Leases;
use contracts_supervisor_api::services::leases::{
    AddResourceRequest, CreateRequest, CreateResponse, DeleteRequest, DeleteResourceRequest, Lease,
    ListRequest, ListResourcesRequest, ListResourcesResponse, ListResponse, Resource,
};
use supervisor_metadata::{Error, LeaseResource, Record, Transaction, now};
use tonic::{Request, Response, Status, async_trait};

/// Longest id of a lease, and of a resource.
const MAX_NAME: usize = 4096;

/// The service.
#[derive(Clone)]
pub struct LeasesService(pub Supervisor);

#[async_trait]
impl Leases for LeasesService {
    async fn create(&self, request: Request<CreateRequest>) -> Answer<CreateResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let CreateRequest { mut id, labels } = request.into_inner();
        if id.is_empty() {
            id = base_telemetry::TraceContext::new().trace_id();
        }
        name(&id, "lease id")?;
        let lease = Lease { id, created_at: Some(now()), labels };
        let store = self.0.store.clone();
        let lease = to_its_end(async move {
            store.update(|tx| tx.insert(&namespace, &lease)).await?;
            Ok::<_, Error>(lease)
        })
        .await?;
        Ok(Response::new(CreateResponse { lease: Some(lease) }))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Answer<()> {
        let namespace = scope(request.metadata())?.namespace;
        let DeleteRequest { id, sync } = request.into_inner();
        let supervisor = self.0.clone();
        to_its_end(async move {
            let change = |tx: &mut Transaction<'_>| {
                let resources: Vec<LeaseResource> =
                    tx.list_below(&namespace, &LeaseResource::prefix(&id))?;
                let any = !resources.is_empty();
                for resource in resources {
                    tx.remove::<LeaseResource>(&namespace, &resource.key())?;
                }
                tx.remove::<Lease>(&namespace, &id)?;
                Ok::<_, Error>(any)
            };
            let freed = supervisor.store.update(change).await?;
            if sync {
                return supervisor.collector.collect().await;
            }
            if freed {
                supervisor.collector.schedule();
            }
            Ok(())
        })
        .await?;
        Ok(Response::new(()))
    }

    async fn list(&self, request: Request<ListRequest>) -> Answer<ListResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let filters = filters(&request.get_ref().filters)?;
        let mut leases = answer(self.0.store.list::<Lease>(&namespace))?;
        leases.retain(|lease| filters.matches(lease));
        Ok(Response::new(ListResponse { leases }))
    }

    async fn add_resource(&self, request: Request<AddResourceRequest>) -> Answer<()> {
        let namespace = scope(request.metadata())?.namespace;
        let AddResourceRequest { id, resource } = request.into_inner();
        let resource = checked(resource)?;
        let store = self.0.store.clone();
        to_its_end(async move {
            let add = |tx: &mut Transaction<'_>| {
                tx.add_to_lease(&namespace, &id, &resource.r#type, &resource.id)
            };
            store.update(add).await
        })
        .await?;
        Ok(Response::new(()))
    }

    async fn delete_resource(&self, request: Request<DeleteResourceRequest>) -> Answer<()> {
        let namespace = scope(request.metadata())?.namespace;
        let DeleteResourceRequest { id, resource } = request.into_inner();
        let resource = checked(resource)?;
        let supervisor = self.0.clone();
        to_its_end(async move {
            let key = LeaseResource {
                lease: id.clone(),
                r#type: resource.r#type,
                id: resource.id,
                ephemeral: false,
            }
            .key();
            let change = |tx: &mut Transaction<'_>| {
                tx.get::<Lease>(&namespace, &id)?;
                if tx.find::<LeaseResource>(&namespace, &key)?.is_some() {
                    tx.remove::<LeaseResource>(&namespace, &key)?;
                }
                Ok::<_, Error>(())
            };
            supervisor.store.update(change).await?;
            supervisor.collector.schedule();
            Ok::<_, Error>(())
        })
        .await?;
        Ok(Response::new(()))
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Answer<ListResourcesResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let id = &request.get_ref().id;
        answer(self.0.store.get::<Lease>(&namespace, id))?;
        let prefix = LeaseResource::prefix(id);
        let resources = answer(self.0.store.list_below::<LeaseResource>(&namespace, &prefix))?;
        let resources = resources
            .into_iter()
            .map(|resource| Resource { id: resource.id, r#type: resource.r#type })
            .collect();
        Ok(Response::new(ListResourcesResponse { resources }))
    }
}

fn checked(resource: Option<Resource>) -> Result<Resource, Status> {
    let resource = required(resource, "resource")?;
    name(&resource.id, "resource id")?;
    let known = matches!(resource.r#type.as_str(), "content" | "ingests" | "images")
        || resource.r#type.strip_prefix("snapshots/").is_some_and(|name| !name.is_empty());
    if known {
        return Ok(resource);
    }
    Err(Status::unimplemented(format!("lease resource type {:?}", resource.r#type)))
}

fn name(text: &str, noun: &str) -> Result<(), Status> {
    if text.is_empty() || text.len() > MAX_NAME || text.contains('\0') {
        return Err(Status::invalid_argument(format!("{noun} must be a text of 1 to 4096 bytes")));
    }
    Ok(())
}
