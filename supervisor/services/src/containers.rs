//! `containerd.services.containers.v1.Containers`.

use crate::Supervisor;
use crate::call::{Answer, answer, filters, identifier, required, scope, to_its_end};
use crate::update_mask::{drop_empty, paths, refuse, take_entry};
use base_errors::{Classify, Kind};
use contracts_supervisor_api::events;
use contracts_supervisor_api::services::containers::containers_server::Containers;
use contracts_supervisor_api::services::containers::{
    Container, CreateContainerRequest, CreateContainerResponse, DeleteContainerRequest,
    GetContainerRequest, GetContainerResponse, ListContainerMessage, ListContainersRequest,
    ListContainersResponse, UpdateContainerRequest, UpdateContainerResponse,
};
use contracts_supervisor_api::topics;
use futures_util::stream::{BoxStream, StreamExt, iter};
use prost_types::FieldMask;
use supervisor_metadata::{Class, Error, Record, now};
use tonic::{Request, Response, Status, async_trait};

/// The service.
#[derive(Clone)]
pub struct ContainersService(pub Supervisor);

impl ContainersService {
    fn select(&self, request: &Request<ListContainersRequest>) -> Result<Vec<Container>, Status> {
        let namespace = scope(request.metadata())?.namespace;
        let filters = filters(&request.get_ref().filters)?;
        let mut containers = answer(self.0.store.list::<Container>(&namespace))?;
        containers.retain(|container| filters.matches(container));
        Ok(containers)
    }
}

#[async_trait]
impl Containers for ContainersService {
    type ListStreamStream = BoxStream<'static, Result<ListContainerMessage, Status>>;

    async fn get(&self, request: Request<GetContainerRequest>) -> Answer<GetContainerResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let container = answer(self.0.store.get(&namespace, &request.get_ref().id))?;
        Ok(Response::new(GetContainerResponse { container: Some(container) }))
    }

    async fn list(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Answer<ListContainersResponse> {
        let containers = self.select(&request)?;
        Ok(Response::new(ListContainersResponse { containers }))
    }

    async fn list_stream(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Answer<Self::ListStreamStream> {
        let containers = self.select(&request)?;
        let messages = containers
            .into_iter()
            .map(|container| Ok(ListContainerMessage { container: Some(container) }));
        Ok(Response::new(iter(messages).boxed()))
    }

    async fn create(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Answer<CreateContainerResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let mut container = required(request.into_inner().container, "container")?;
        identifier(&container.id, "container id")?;
        if container.runtime.as_ref().is_none_or(|runtime| runtime.name.is_empty()) {
            return Err(Status::invalid_argument("container.runtime.name is required"));
        }
        if container.spec.is_none() {
            return Err(Status::invalid_argument("container.spec is required"));
        }
        if !container.snapshot_key.is_empty() && container.snapshotter.is_empty() {
            return Err(Status::invalid_argument("container.snapshotter is required"));
        }
        container.created_at = Some(now());
        container.updated_at = container.created_at;
        let supervisor = self.0.clone();
        let container = to_its_end(async move {
            supervisor.store.update(|tx| tx.insert(&namespace, &container)).await?;
            let runtime = container.runtime.clone().map(|runtime| {
                events::container_create::Runtime { name: runtime.name, options: runtime.options }
            });
            let event = events::ContainerCreate {
                id: container.id.clone(),
                image: container.image.clone(),
                runtime,
            };
            supervisor.events.publish(&namespace, topics::CONTAINER_CREATE, &event);
            Ok::<_, Error>(container)
        })
        .await?;
        Ok(Response::new(CreateContainerResponse { container: Some(container) }))
    }

    async fn update(
        &self,
        request: Request<UpdateContainerRequest>,
    ) -> Answer<UpdateContainerResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let UpdateContainerRequest { container, update_mask } = request.into_inner();
        let update = required(container, "container")?;
        check(&update.id, update_mask.as_ref())?;
        let supervisor = self.0.clone();
        let container = to_its_end(async move {
            let change = |tx: &mut supervisor_metadata::Transaction<'_>| {
                let mut container = tx.get::<Container>(&namespace, &update.id)?;
                if paths(update_mask.as_ref()).is_none() {
                    keeps_what_is_fixed(&container, &update)?;
                }
                apply(&mut container, update, update_mask.as_ref());
                container.updated_at = Some(now());
                tx.put(&namespace, &container)?;
                Ok::<_, UpdateError>(container)
            };
            let container = supervisor.store.update(change).await?;
            let event = events::ContainerUpdate {
                id: container.id.clone(),
                image: container.image.clone(),
                labels: container.labels.clone(),
                snapshot_key: container.snapshot_key.clone(),
            };
            supervisor.events.publish(&namespace, topics::CONTAINER_UPDATE, &event);
            Ok::<_, UpdateError>(container)
        })
        .await?;
        Ok(Response::new(UpdateContainerResponse { container: Some(container) }))
    }

    async fn delete(&self, request: Request<DeleteContainerRequest>) -> Answer<()> {
        let namespace = scope(request.metadata())?.namespace;
        let id = request.into_inner().id;
        let supervisor = self.0.clone();
        to_its_end(async move {
            let removed =
                supervisor.store.update(|tx| tx.remove::<Container>(&namespace, &id)).await?;
            let event = events::ContainerDelete { id };
            supervisor.events.publish(&namespace, topics::CONTAINER_DELETE, &event);
            // An ephemeral container's client removes its snapshot itself; looking through all
            // records after every `run --rm` would cost more than it finds.
            if removed.class() != Class::Ephemeral {
                supervisor.collector.schedule();
            }
            Ok::<_, Error>(())
        })
        .await?;
        Ok(Response::new(()))
    }
}

/// Why a container was not updated.
#[derive(Debug, thiserror::Error)]
enum UpdateError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("container.{0} field is immutable")]
    Immutable(&'static str),
}

impl Classify for UpdateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Immutable(_) => Kind::InvalidArgument,
        }
    }
}

/// A whole container in place of another must have what cannot change as it was, as in containerd:
/// silence would look like success.
fn keeps_what_is_fixed(container: &Container, update: &Container) -> Result<(), UpdateError> {
    let runtime = |container: &Container| container.runtime.clone().unwrap_or_default().name;
    if container.snapshotter != update.snapshotter {
        return Err(UpdateError::Immutable("Snapshotter"));
    }
    if runtime(container) != runtime(update) {
        return Err(UpdateError::Immutable("Runtime.Name"));
    }
    Ok(())
}

/// Refuses paths that cannot change.
fn check(id: &str, mask: Option<&FieldMask>) -> Result<(), Status> {
    for path in paths(mask).unwrap_or_default() {
        let known = matches!(
            path.as_str(),
            "labels"
                | "extensions"
                | "spec"
                | "image"
                | "snapshotter"
                | "snapshot_key"
                | "snapshotkey"
        );
        if !known && !path.starts_with("labels.") && !path.starts_with("extensions.") {
            return Err(refuse(path, "container", id));
        }
    }
    Ok(())
}

fn apply(container: &mut Container, mut update: Container, mask: Option<&FieldMask>) {
    let all = ["labels", "extensions", "spec", "image", "snapshot_key"].map(str::to_owned);
    for path in paths(mask).unwrap_or(&all) {
        match path.as_str() {
            "labels" => container.labels = update.labels.clone(),
            "extensions" => container.extensions = update.extensions.clone(),
            "spec" => container.spec = update.spec.clone(),
            "image" => container.image = update.image.clone(),
            "snapshotter" => container.snapshotter = update.snapshotter.clone(),
            "snapshot_key" | "snapshotkey" => {
                container.snapshot_key = update.snapshot_key.clone();
            }
            other => {
                if let Some(key) = other.strip_prefix("labels.") {
                    take_entry(&mut container.labels, &mut update.labels, key);
                } else if let Some(key) = other.strip_prefix("extensions.") {
                    take_entry(&mut container.extensions, &mut update.extensions, key);
                }
            }
        }
    }
    drop_empty(&mut container.labels);
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_supervisor_api::services::containers::container::Runtime;

    #[test]
    fn an_update_changes_what_its_mask_names_and_nothing_else() {
        let labelled = |pairs: &[(&str, &str)]| Container {
            id: "c".into(),
            image: pairs.len().to_string(),
            labels: pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..Container::default()
        };
        let mask = |paths: &[&str]| FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        };
        let mut container = labelled(&[("a", "1"), ("b", "2")]);
        let update = labelled(&[("a.b/c", "3")]);
        apply(&mut container, update.clone(), Some(&mask(&["labels.a.b/c", "labels.a"])));
        let expected = labelled(&[("b", "2"), ("a.b/c", "3")]);
        assert_eq!(container.labels, expected.labels);
        assert_eq!(container.image, "2");
        apply(&mut container, update.clone(), None);
        assert_eq!((container.labels, container.image), (update.labels, update.image));
        assert!(check("c", Some(&mask(&["runtime"]))).is_err());
    }

    #[test]
    fn a_whole_update_with_another_snapshotter_or_runtime_is_refused() {
        let of = |snapshotter: &str, runtime: &str| Container {
            snapshotter: snapshotter.into(),
            runtime: Some(Runtime { name: runtime.into(), options: None }),
            ..Container::default()
        };
        let container = of("overlayfs", "a.b.v1");
        assert!(keeps_what_is_fixed(&container, &container).is_ok());
        let error = keeps_what_is_fixed(&container, &of("native", "a.b.v1")).unwrap_err();
        assert_eq!(error.to_string(), "container.Snapshotter field is immutable");
        let error = keeps_what_is_fixed(&container, &of("overlayfs", "a.c.v1")).unwrap_err();
        assert_eq!(error.to_string(), "container.Runtime.Name field is immutable");
    }
}
