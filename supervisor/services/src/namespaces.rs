//! `containerd.services.namespaces.v1.Namespaces`.

use crate::Supervisor;
use crate::call::{Answer, answer, filters, identifier, required, to_its_end};
use crate::update_mask::{drop_empty, paths, refuse, take_entry};
use contracts_supervisor_api::events::{NamespaceCreate, NamespaceDelete, NamespaceUpdate};
use contracts_supervisor_api::services::namespaces::namespaces_server::Namespaces;
use contracts_supervisor_api::services::namespaces::{
    CreateNamespaceRequest, CreateNamespaceResponse, DeleteNamespaceRequest, GetNamespaceRequest,
    GetNamespaceResponse, ListNamespacesRequest, ListNamespacesResponse, Namespace,
    UpdateNamespaceRequest, UpdateNamespaceResponse,
};
use contracts_supervisor_api::services::{containers, content, images, leases};
use contracts_supervisor_api::topics;
use supervisor_metadata::{Error, SnapshotRecord, Transaction};
use tonic::{Request, Response, async_trait};

/// The service.
#[derive(Clone)]
pub struct NamespacesService(pub Supervisor);

/// Why a namespace was not deleted.
#[derive(Debug, thiserror::Error)]
enum DeleteError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("namespace {name:?} still has {left}")]
    NotEmpty { name: String, left: &'static str },
}

impl base_errors::Classify for DeleteError {
    fn kind(&self) -> base_errors::Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::NotEmpty { .. } => base_errors::Kind::FailedPrecondition,
        }
    }
}

#[async_trait]
impl Namespaces for NamespacesService {
    async fn get(&self, request: Request<GetNamespaceRequest>) -> Answer<GetNamespaceResponse> {
        let namespace = answer(self.0.store.get("", &request.get_ref().name))?;
        Ok(Response::new(GetNamespaceResponse { namespace: Some(namespace) }))
    }

    async fn list(
        &self,
        request: Request<ListNamespacesRequest>,
    ) -> Answer<ListNamespacesResponse> {
        let filters = filters(&[&request.get_ref().filter])?;
        let mut namespaces = answer(self.0.store.list::<Namespace>(""))?;
        namespaces.retain(|namespace| filters.matches(namespace));
        Ok(Response::new(ListNamespacesResponse { namespaces }))
    }

    async fn create(
        &self,
        request: Request<CreateNamespaceRequest>,
    ) -> Answer<CreateNamespaceResponse> {
        let namespace = required(request.into_inner().namespace, "namespace")?;
        identifier(&namespace.name, "namespace")?;
        let supervisor = self.0.clone();
        let namespace = to_its_end(async move {
            supervisor.store.update(|tx| tx.insert("", &namespace)).await?;
            let Namespace { name, labels } = namespace.clone();
            let event = NamespaceCreate { name, labels };
            supervisor.events.publish(&namespace.name, topics::NAMESPACE_CREATE, &event);
            Ok::<_, Error>(namespace)
        })
        .await?;
        Ok(Response::new(CreateNamespaceResponse { namespace: Some(namespace) }))
    }

    async fn update(
        &self,
        request: Request<UpdateNamespaceRequest>,
    ) -> Answer<UpdateNamespaceResponse> {
        let UpdateNamespaceRequest { namespace, update_mask } = request.into_inner();
        let mut update = required(namespace, "namespace")?;
        for path in paths(update_mask.as_ref()).unwrap_or_default() {
            if path != "labels" && !path.starts_with("labels.") {
                return Err(refuse(path, "namespace", &update.name));
            }
        }
        let supervisor = self.0.clone();
        let namespace = to_its_end(async move {
            let change = |tx: &mut Transaction<'_>| {
                let mut namespace = tx.get::<Namespace>("", &update.name)?;
                let all = ["labels".to_owned()];
                for path in paths(update_mask.as_ref()).unwrap_or(&all) {
                    match path.strip_prefix("labels.") {
                        Some(key) => take_entry(&mut namespace.labels, &mut update.labels, key),
                        None => namespace.labels.clone_from(&update.labels),
                    }
                }
                drop_empty(&mut namespace.labels);
                tx.put("", &namespace)?;
                Ok::<_, Error>(namespace)
            };
            let namespace = supervisor.store.update(change).await?;
            let Namespace { name, labels } = namespace.clone();
            let event = NamespaceUpdate { name, labels };
            supervisor.events.publish(&namespace.name, topics::NAMESPACE_UPDATE, &event);
            Ok::<_, Error>(namespace)
        })
        .await?;
        Ok(Response::new(UpdateNamespaceResponse { namespace: Some(namespace) }))
    }

    async fn delete(&self, request: Request<DeleteNamespaceRequest>) -> Answer<()> {
        let name = request.into_inner().name;
        let supervisor = self.0.clone();
        to_its_end(async move {
            supervisor.store.update(|tx| remove_empty(tx, &name)).await?;
            let event = NamespaceDelete { name: name.clone() };
            supervisor.events.publish(&name, topics::NAMESPACE_DELETE, &event);
            Ok::<_, DeleteError>(())
        })
        .await?;
        Ok(Response::new(()))
    }
}

fn remove_empty(tx: &mut Transaction<'_>, name: &str) -> Result<(), DeleteError> {
    let left = if !tx.list::<containers::Container>(name)?.is_empty() {
        Some("containers")
    } else if !tx.list::<images::Image>(name)?.is_empty() {
        Some("images")
    } else if !tx.list::<SnapshotRecord>(name)?.is_empty() {
        Some("snapshots")
    } else if !tx.list::<content::Info>(name)?.is_empty() {
        Some("content")
    } else if !tx.list::<leases::Lease>(name)?.is_empty() {
        Some("leases")
    } else {
        None
    };
    match left {
        Some(left) => Err(DeleteError::NotEmpty { name: name.to_owned(), left }),
        None => Ok(tx.remove::<Namespace>("", name).map(drop)?),
    }
}
