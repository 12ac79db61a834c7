//! The services of this crate on a socket of their own, and a client of them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use contracts_supervisor_api::Any;
use contracts_supervisor_api::any::{pack, unpack};
use contracts_supervisor_api::channel::connect;
use contracts_supervisor_api::metadata::CallContext;
use contracts_supervisor_api::services::content::content_server::ContentServer;
use contracts_supervisor_api::services::images::Image;
use contracts_supervisor_api::services::snapshots::snapshots_server::SnapshotsServer;
use contracts_supervisor_api::services::streaming::StreamInit;
use contracts_supervisor_api::services::streaming::streaming_client::StreamingClient;
use contracts_supervisor_api::services::streaming::streaming_server::StreamingServer;
use contracts_supervisor_api::services::transfer::transfer_client::TransferClient;
use contracts_supervisor_api::services::transfer::transfer_server::TransferServer;
use contracts_supervisor_api::services::transfer::{TransferOptions, TransferRequest};
use contracts_supervisor_api::types::transfer::{
    ImageStore as WireStore, OciRegistry, Progress, RegistryResolver, UnpackConfiguration,
};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use supervisor_content::ContentStore;
use supervisor_content::service::ContentService;
use supervisor_events::Exchange;
use supervisor_metadata::{Config, Store};
use supervisor_registry::service::{StreamingService, TransferService};
use supervisor_registry::{ImageStore, Streams};
use supervisor_snapshots::service::SnapshotsService;
use supervisor_snapshots::{Overlay, Snapshotter};
use tempfile::TempDir;
use tests_harness::wait::until;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::{Channel, Server};
use tonic::{Status, Streaming};

pub(crate) const NAMESPACE: &str = "moby";

/// A supervisor of images, without containers.
pub(crate) struct Supervisor {
    pub(crate) records: Store,
    pub(crate) content: ContentStore,
    pub(crate) snapshots: Overlay,
    client: Client,
    server: tokio::task::JoinHandle<()>,
}

impl Deref for Supervisor {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A client of one.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) channel: Channel,
}

impl Client {
    pub(crate) async fn transfer(&self, request: TransferRequest) -> Result<(), Status> {
        let call = CallContext::new(NAMESPACE).expect("a namespace");
        let mut client = TransferClient::new(self.channel.clone());
        client.transfer(call.request(request)).await.map(drop)
    }

    /// Pulls and unpacks `reference` under its own name; the events that came meanwhile.
    pub(crate) async fn pull(&self, reference: &str) -> Result<Vec<Progress>, Status> {
        self.pull_with(reference, RegistryResolver::default()).await
    }

    pub(crate) async fn pull_with(
        &self,
        reference: &str,
        resolver: RegistryResolver,
    ) -> Result<Vec<Progress>, Status> {
        let (_sender, mut progress) = self.stream("progress").await;
        let source = OciRegistry { reference: reference.to_owned(), resolver: Some(resolver) };
        let transfer = self.transfer(request(&pack(&source), &store(reference), "progress"));
        let read = async {
            let mut events = Vec::new();
            while let Ok(Some(message)) = progress.message().await {
                events.push(unpack::<Progress>(&message).expect("a progress message"));
            }
            events
        };
        // Read while it comes: what nobody reads is waited for.
        let (transferred, events) = tokio::join!(transfer, read);
        transferred.map(|()| events)
    }

    /// Opens a stream under a name.
    pub(crate) async fn stream(&self, name: &str) -> (mpsc::Sender<Any>, Streaming<Any>) {
        let call = CallContext::new(NAMESPACE).expect("a namespace");
        let (sender, receiver) = mpsc::channel(8);
        let mut client = StreamingClient::new(self.channel.clone());
        let request = call.request(ReceiverStream::new(receiver));
        let mut answers = client.stream(request).await.expect("a stream").into_inner();
        let init = StreamInit { id: name.to_owned() };
        sender.send(pack(&init)).await.expect("a server that listens");
        answers.message().await.expect("an answer").expect("the server's readiness");
        (sender, answers)
    }
}

impl Supervisor {
    /// Serves what is below `root`.
    pub(crate) async fn start(root: &Path) -> Self {
        Self::start_at(&root.join("socket"), root, Duration::from_secs(60)).await
    }

    /// Serves what is below `root` at `socket`, and gives up on a registry that stands still for
    /// so long.
    pub(crate) async fn start_at(socket: &Path, root: &Path, stall: Duration) -> Self {
        let state = root.join("state");
        std::fs::create_dir_all(&state).expect("make the state directory");
        let described = vec![root.join("content/blobs/sha256"), root.join("snapshots")];
        let config = Config { index: root.join("metadata.redb"), state, described };
        // After a stop, the last tasks of the stopped one may still hold them.
        let records = until("the records to be free", Duration::from_secs(60), || {
            Store::open(&config).map_err(|error| error.to_string())
        });
        let content =
            ContentStore::open(&root.join("content"), records.clone()).expect("open the content");
        let snapshots =
            Overlay::open(&root.join("snapshots"), records.clone()).expect("open the snapshots");
        let images = ImageStore::new(
            content.clone(),
            snapshots.clone(),
            records.clone(),
            Exchange::default(),
        )
        .stalls_after(stall);
        let streams = Streams::default();
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).expect("listen");
        let snapshotters: Vec<Arc<dyn Snapshotter>> = vec![Arc::new(snapshots.clone())];
        let router = Server::builder()
            .add_service(ContentServer::new(ContentService::new(content.clone())))
            .add_service(SnapshotsServer::new(SnapshotsService::new(snapshotters)))
            .add_service(StreamingServer::new(StreamingService::new(streams.clone())))
            .add_service(TransferServer::new(TransferService::new(images, streams)));
        let server = tokio::spawn(async move {
            let incoming = UnixListenerStream::new(listener);
            router.serve_with_incoming(incoming).await.expect("serve");
        });
        let client = Client { channel: connect(socket).await.expect("connect") };
        Self { records, content, snapshots, client, server }
    }

    /// Ends, as far as a program in the same process can.
    pub(crate) async fn stop(self) {
        self.server.abort();
        let _ = self.server.await;
        self.records.flush().await.expect("write the records");
    }

    /// The image of this name.
    pub(crate) fn image(&self, name: &str) -> Option<Image> {
        self.records.find(NAMESPACE, name).expect("records that can be read")
    }
}

/// A destination that unpacks for this machine.
pub(crate) fn store(name: &str) -> WireStore {
    WireStore {
        name: name.to_owned(),
        unpacks: vec![UnpackConfiguration::default()],
        ..WireStore::default()
    }
}

pub(crate) fn request(source: &Any, destination: &WireStore, progress: &str) -> TransferRequest {
    TransferRequest {
        source: Some(source.clone()),
        destination: Some(pack(destination)),
        options: Some(TransferOptions { progress_stream: progress.to_owned() }),
    }
}

/// A place for a supervisor.
pub(crate) fn place() -> TempDir {
    tempfile::Builder::new().prefix("gantry-images-").tempdir().expect("a temporary directory")
}
