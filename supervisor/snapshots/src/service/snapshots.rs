//! `containerd.services.snapshots.v1.Snapshots` over the snapshotters that there are.

use crate::snapshotter::{NewSnapshot, SnapshotError, Snapshotter};
use contracts_supervisor_api::events::{SnapshotCommit, SnapshotPrepare, SnapshotRemove};
use contracts_supervisor_api::services::snapshots::snapshots_server::Snapshots;
use contracts_supervisor_api::services::snapshots::{
    CleanupRequest, CommitSnapshotRequest, ListSnapshotsRequest, ListSnapshotsResponse,
    MountsRequest, MountsResponse, PrepareSnapshotRequest, PrepareSnapshotResponse,
    RemoveSnapshotRequest, StatSnapshotRequest, StatSnapshotResponse, UpdateSnapshotRequest,
    UpdateSnapshotResponse, UsageRequest, UsageResponse, ViewSnapshotRequest, ViewSnapshotResponse,
};
use contracts_supervisor_api::{status, topics};
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use supervisor_content::request::{blocking, filters, lease, namespace};
use supervisor_events::Exchange;
use tonic::{Request, Response, Status, async_trait};

/// Records sent in one message of a list.
const PAGE: usize = 100;

/// The gRPC service.
pub struct SnapshotsService {
    snapshotters: Vec<Arc<dyn Snapshotter>>,
    events: Exchange,
    removed: Arc<dyn Fn() + Send + Sync>,
}

impl SnapshotsService {
    /// A service over these snapshotters; each is found by its name.
    #[must_use]
    pub fn new(snapshotters: Vec<Arc<dyn Snapshotter>>) -> Self {
        Self { snapshotters, events: Exchange::default(), removed: Arc::new(|| ()) }
    }

    /// The same, calling this after a client removed a snapshot.
    #[must_use]
    pub fn when_removed(self, removed: impl Fn() + Send + Sync + 'static) -> Self {
        Self { removed: Arc::new(removed), ..self }
    }

    /// The same, telling on this exchange what it changed.
    #[must_use]
    pub fn announcing(self, events: Exchange) -> Self {
        Self { events, ..self }
    }

    fn find(&self, name: &str) -> Result<Arc<dyn Snapshotter>, Status> {
        if name.is_empty() {
            return Err(Status::invalid_argument("snapshotter argument missing: invalid argument"));
        }
        self.snapshotters
            .iter()
            .find(|snapshotter| snapshotter.name() == name)
            .cloned()
            .ok_or_else(|| status::of(&SnapshotError::NoSnapshotter(name.to_owned())))
    }
}

#[async_trait]
impl Snapshots for SnapshotsService {
    type ListStream = BoxStream<'static, Result<ListSnapshotsResponse, Status>>;

    async fn prepare(
        &self,
        request: Request<PrepareSnapshotRequest>,
    ) -> Result<Response<PrepareSnapshotResponse>, Status> {
        let (namespace, lease) = (namespace(request.metadata())?, lease(request.metadata()));
        let PrepareSnapshotRequest { snapshotter, key, parent, labels } = request.into_inner();
        let (snapshotter, of) = (self.find(&snapshotter)?, snapshotter);
        let events = self.events.clone();
        let mounts = blocking(move || {
            let lease = lease.as_deref();
            let new = NewSnapshot { key: &key, parent: &parent, labels: &labels, lease };
            let mounts = snapshotter.prepare(&namespace, new)?;
            let event = SnapshotPrepare { key, parent, snapshotter: of };
            events.publish(&namespace, topics::SNAPSHOT_PREPARE, &event);
            Ok::<_, SnapshotError>(mounts)
        })
        .await?;
        Ok(Response::new(PrepareSnapshotResponse { mounts }))
    }

    async fn view(
        &self,
        request: Request<ViewSnapshotRequest>,
    ) -> Result<Response<ViewSnapshotResponse>, Status> {
        let (namespace, lease) = (namespace(request.metadata())?, lease(request.metadata()));
        let ViewSnapshotRequest { snapshotter, key, parent, labels } = request.into_inner();
        let snapshotter = self.find(&snapshotter)?;
        let mounts = blocking(move || {
            let lease = lease.as_deref();
            let new = NewSnapshot { key: &key, parent: &parent, labels: &labels, lease };
            snapshotter.view(&namespace, new)
        })
        .await?;
        Ok(Response::new(ViewSnapshotResponse { mounts }))
    }

    async fn mounts(
        &self,
        request: Request<MountsRequest>,
    ) -> Result<Response<MountsResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let MountsRequest { snapshotter, key } = request.into_inner();
        let snapshotter = self.find(&snapshotter)?;
        let mounts = blocking(move || snapshotter.mounts(&namespace, &key)).await?;
        Ok(Response::new(MountsResponse { mounts }))
    }

    async fn commit(
        &self,
        request: Request<CommitSnapshotRequest>,
    ) -> Result<Response<()>, Status> {
        let (namespace, lease) = (namespace(request.metadata())?, lease(request.metadata()));
        let request = request.into_inner();
        if !request.parent.is_empty() {
            return Err(Status::unimplemented("commit onto another parent"));
        }
        let snapshotter = self.find(&request.snapshotter)?;
        let events = self.events.clone();
        blocking(move || {
            let CommitSnapshotRequest { name, key, labels, snapshotter: of, .. } = request;
            let lease = lease.as_deref();
            let new = NewSnapshot { key: &name, parent: "", labels: &labels, lease };
            snapshotter.commit(&namespace, &key, new)?;
            let event = SnapshotCommit { key, name, snapshotter: of };
            events.publish(&namespace, topics::SNAPSHOT_COMMIT, &event);
            Ok::<_, SnapshotError>(())
        })
        .await?;
        Ok(Response::new(()))
    }

    async fn remove(
        &self,
        request: Request<RemoveSnapshotRequest>,
    ) -> Result<Response<()>, Status> {
        let namespace = namespace(request.metadata())?;
        let RemoveSnapshotRequest { snapshotter, key } = request.into_inner();
        let (snapshotter, of) = (self.find(&snapshotter)?, snapshotter);
        let (events, removed) = (self.events.clone(), self.removed.clone());
        blocking(move || {
            snapshotter.remove(&namespace, &key)?;
            let event = SnapshotRemove { key, snapshotter: of };
            events.publish(&namespace, topics::SNAPSHOT_REMOVE, &event);
            removed();
            Ok::<_, SnapshotError>(())
        })
        .await?;
        Ok(Response::new(()))
    }

    async fn stat(
        &self,
        request: Request<StatSnapshotRequest>,
    ) -> Result<Response<StatSnapshotResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let StatSnapshotRequest { snapshotter, key } = request.into_inner();
        let snapshotter = self.find(&snapshotter)?;
        let info = blocking(move || snapshotter.stat(&namespace, &key)).await?;
        Ok(Response::new(StatSnapshotResponse { info: Some(info) }))
    }

    async fn update(
        &self,
        request: Request<UpdateSnapshotRequest>,
    ) -> Result<Response<UpdateSnapshotResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let UpdateSnapshotRequest { snapshotter, info, update_mask } = request.into_inner();
        let snapshotter = self.find(&snapshotter)?;
        let info = info.ok_or_else(|| Status::invalid_argument("info is required"))?;
        let info = blocking(move || {
            snapshotter.update(&namespace, &info.name, &info.labels, update_mask.as_ref())
        })
        .await?;
        Ok(Response::new(UpdateSnapshotResponse { info: Some(info) }))
    }

    async fn list(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let namespace = namespace(request.metadata())?;
        let ListSnapshotsRequest { snapshotter, filters: expressions } = request.into_inner();
        let filters = filters(&expressions)?;
        let snapshotter = self.find(&snapshotter)?;
        let all = blocking(move || snapshotter.list(&namespace, &filters)).await?;
        let pages: Vec<_> = all
            .chunks(PAGE)
            .map(|page| Ok(ListSnapshotsResponse { info: page.to_vec() }))
            .collect();
        Ok(Response::new(stream::iter(pages).boxed()))
    }

    async fn usage(
        &self,
        request: Request<UsageRequest>,
    ) -> Result<Response<UsageResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let UsageRequest { snapshotter, key } = request.into_inner();
        let snapshotter = self.find(&snapshotter)?;
        blocking(move || snapshotter.usage(&namespace, &key)).await.map(Response::new)
    }

    async fn cleanup(&self, request: Request<CleanupRequest>) -> Result<Response<()>, Status> {
        namespace(request.metadata())?;
        let snapshotter = self.find(&request.get_ref().snapshotter)?;
        blocking(move || snapshotter.cleanup()).await?;
        Ok(Response::new(()))
    }
}
