//! `containerd.services.content.v1.Content` over a [`ContentStore`].

mod read;
mod write;

use crate::request::{blocking, filters, lease, namespace};
use crate::{ContentError, ContentStore, IngestStatus};
use base_ids::Digest;
use contracts_supervisor_api::events::ContentDelete;
use contracts_supervisor_api::services::content::content_server::Content;
use contracts_supervisor_api::services::content::{
    AbortRequest, DeleteContentRequest, InfoRequest, InfoResponse, ListContentRequest,
    ListContentResponse, ListStatusesRequest, ListStatusesResponse, ReadContentRequest,
    ReadContentResponse, Status as WireStatus, StatusRequest, StatusResponse, UpdateRequest,
    UpdateResponse, WriteContentRequest, WriteContentResponse,
};
use contracts_supervisor_api::topics;
use futures_util::stream::{self, BoxStream, StreamExt};
use supervisor_events::Exchange;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Records sent in one message of a list.
const PAGE: usize = 100;

/// The gRPC service.
pub struct ContentService {
    store: ContentStore,
    events: Exchange,
}

impl ContentService {
    /// A service over `store`.
    #[must_use]
    pub fn new(store: ContentStore) -> Self {
        Self { store, events: Exchange::default() }
    }

    /// The same, telling on this exchange what it changed.
    #[must_use]
    pub fn announcing(self, events: Exchange) -> Self {
        Self { events, ..self }
    }
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

#[async_trait]
impl Content for ContentService {
    type ListStream = Answers<ListContentResponse>;
    type ReadStream = Answers<ReadContentResponse>;
    type WriteStream = Answers<WriteContentResponse>;

    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let digest = digest(&request.get_ref().digest)?;
        let store = self.store.clone();
        let info = blocking(move || store.info(&namespace, &digest)).await?;
        Ok(Response::new(InfoResponse { info: Some(info) }))
    }

    async fn update(
        &self,
        request: Request<UpdateRequest>,
    ) -> Result<Response<UpdateResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let UpdateRequest { info, update_mask } = request.into_inner();
        let info = info.ok_or_else(|| Status::invalid_argument("info is required"))?;
        let digest = digest(&info.digest)?;
        let store = self.store.clone();
        let info =
            blocking(move || store.update(&namespace, &digest, &info.labels, update_mask.as_ref()))
                .await?;
        Ok(Response::new(UpdateResponse { info: Some(info) }))
    }

    async fn list(
        &self,
        request: Request<ListContentRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let namespace = namespace(request.metadata())?;
        let filters = filters(&request.get_ref().filters)?;
        let store = self.store.clone();
        let mut all = blocking(move || store.list(&namespace)).await?;
        all.retain(|info| filters.matches(info));
        let pages: Vec<_> =
            all.chunks(PAGE).map(|page| Ok(ListContentResponse { info: page.to_vec() })).collect();
        Ok(Response::new(stream::iter(pages).boxed()))
    }

    async fn delete(&self, request: Request<DeleteContentRequest>) -> Result<Response<()>, Status> {
        let namespace = namespace(request.metadata())?;
        let digest = digest(&request.get_ref().digest)?;
        let store = self.store.clone();
        let events = self.events.clone();
        blocking(move || {
            store.delete(&namespace, &digest)?;
            let event = ContentDelete { digest: digest.to_string() };
            events.publish(&namespace, topics::CONTENT_DELETE, &event);
            Ok::<_, ContentError>(())
        })
        .await?;
        Ok(Response::new(()))
    }

    async fn read(
        &self,
        request: Request<ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let namespace = namespace(request.metadata())?;
        let request = request.into_inner();
        let digest = digest(&request.digest)?;
        let store = self.store.clone();
        let (file, size) = blocking(move || store.read(&namespace, &digest)).await?;
        read::stream(file, size, request.offset, request.size)
            .map(|answers| Response::new(answers.boxed()))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let reference = request.into_inner().r#ref;
        let store = self.store.clone();
        let status = blocking(move || store.status(&namespace, &reference)).await?;
        Ok(Response::new(StatusResponse { status: Some(wire(&status)) }))
    }

    async fn list_statuses(
        &self,
        request: Request<ListStatusesRequest>,
    ) -> Result<Response<ListStatusesResponse>, Status> {
        let namespace = namespace(request.metadata())?;
        let filters = filters(&request.get_ref().filters)?;
        let store = self.store.clone();
        let all = blocking(move || store.statuses(&namespace)).await?;
        let statuses = all.iter().map(wire).filter(|status| filters.matches(status)).collect();
        Ok(Response::new(ListStatusesResponse { statuses }))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let namespace = namespace(request.metadata())?;
        let lease = lease(request.metadata());
        let session = write::Session::new(self.store.clone(), namespace, lease);
        Ok(Response::new(session.run(request.into_inner()).boxed()))
    }

    async fn abort(&self, request: Request<AbortRequest>) -> Result<Response<()>, Status> {
        let namespace = namespace(request.metadata())?;
        let reference = request.into_inner().r#ref;
        let store = self.store.clone();
        blocking(move || store.abort(&namespace, &reference)).await?;
        Ok(Response::new(()))
    }
}

fn digest(text: &str) -> Result<Digest, Status> {
    text.parse().map_err(|error| Status::invalid_argument(format!("{error}: invalid argument")))
}

fn wire(status: &IngestStatus) -> WireStatus {
    WireStatus {
        started_at: Some(status.started_at.into()),
        updated_at: Some(status.updated_at.into()),
        r#ref: status.reference.clone(),
        offset: status.offset.cast_signed(),
        total: status.total.cast_signed(),
        expected: status.expected.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}
