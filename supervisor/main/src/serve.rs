//! Stores, adoption, sockets, services: from a locked state directory to answers, and back.

use crate::arguments::Arguments;
use anyhow::Context;
use contracts_supervisor_api::metadata::MAX_MESSAGE;
use contracts_supervisor_api::services::{
    containers::containers_server::ContainersServer, content::content_server::ContentServer,
    diff::diff_server::DiffServer, events::events_server::EventsServer,
    health::health_server::HealthServer, images::images_server::ImagesServer,
    introspection::introspection_server::IntrospectionServer, leases::leases_server::LeasesServer,
    namespaces::namespaces_server::NamespacesServer, snapshots::snapshots_server::SnapshotsServer,
    streaming::streaming_server::StreamingServer, tasks::tasks_server::TasksServer,
    transfer::transfer_server::TransferServer, version::version_server::VersionServer,
};
use rustix::fs::Mode;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use supervisor_content::ContentStore;
use supervisor_content::service::ContentService;
use supervisor_events::Exchange;
use supervisor_metadata::Store;
use supervisor_registry::service::{StreamingService, TransferService};
use supervisor_registry::{ImageStore, Streams};
use supervisor_services::{
    Collector, ContainersService, EventsService, HealthService, ImagesService,
    IntrospectionService, LeasesService, NamespacesService, Supervisor, TasksService, TraceLayer,
    VersionService, forward, plugins,
};
use supervisor_snapshots::service::{DiffService, SnapshotsService};
use supervisor_snapshots::{Overlay, Snapshotter};
use supervisor_tasks::{Reaper, Tasks};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tower::layer::util::{Identity, Stack};

/// The layers above all services.
type Layers = Stack<TraceLayer, Identity>;

/// How long calls may take to end once the supervisor was told to.
const GRACE: Duration = Duration::from_secs(1);
/// How long a listener rests whose connections cannot be taken.
const REST: Duration = Duration::from_millis(100);
/// Bytes that one stream may send before it is read; blobs come in messages of up to a few MiB.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Everything on disk, opened before any thread of the runtime exists: opening may block.
pub(crate) struct Stores {
    records: Store,
    content: ContentStore,
    snapshots: Overlay,
    uuid: String,
}

impl Stores {
    /// Opens the stores, and has what a crash left half done removed.
    pub(crate) fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let root = &arguments.root;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(root)
            .with_context(|| format!("make {}", root.display()))?;
        let (blobs, layers) = (root.join("content"), root.join("snapshots"));
        let config = supervisor_metadata::Config {
            index: root.join("metadata.redb"),
            state: arguments.state.clone(),
            described: vec![blobs.join("blobs/sha256"), layers.clone()],
        };
        let records = Store::open(&config)?;
        let content = ContentStore::open(&blobs, records.clone())?;
        let snapshots = Overlay::open(&layers, records.clone())?;
        Ok(Self { records, content, snapshots, uuid: uuid(root)? })
    }
}

/// The name of this data root, made when it was.
fn uuid(root: &Path) -> anyhow::Result<String> {
    let path = root.join("uuid");
    if let Ok(uuid) = std::fs::read_to_string(&path)
        && !uuid.trim().is_empty()
    {
        return Ok(uuid.trim().to_owned());
    }
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
    std::fs::write(&path, &uuid).with_context(|| format!("write {}", path.display()))?;
    Ok(uuid)
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve(arguments: &Arguments, stores: Stores) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopped = async {
        tokio::select! {
            // Cancel-safe: a signal that is not taken stays pending in its stream.
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let (grpc, ttrpc) = (arguments.grpc(), arguments.ttrpc());
    let Stores { records, content, snapshots, uuid } = stores;
    let events = Exchange::default();
    let config = supervisor_tasks::Config {
        state: arguments.state.clone(),
        grpc: grpc.clone(),
        ttrpc: ttrpc.clone(),
        debug: matches!(
            arguments.log_level,
            crate::arguments::Level::Debug | crate::arguments::Level::Trace
        ),
    };
    let tasks = Tasks::new(config, Reaper::start()?, events.clone())?;
    tasks.adopt().await?;
    let collector = Collector::start(
        records.clone(),
        events.clone(),
        vec![Arc::new(content.clone()), Arc::new(snapshots.clone())],
    );
    // What a crash left unreferenced, and leases that ended meanwhile.
    collector.schedule();
    let supervisor = Supervisor { store: records.clone(), tasks, events, collector };
    let introspection =
        IntrospectionService { plugins: plugins(&arguments.root.join("snapshots")), uuid };

    let forwarded = bind(&ttrpc, 0o600)?;
    let listener = bind(&grpc, 0o660)?;
    tokio::spawn(forward::serve(forwarded, supervisor.tasks.clone()));
    if arguments.favor_dynmods {
        tokio::task::spawn_blocking(crate::favor_dynmods::switch_on);
    }
    tracing::info!(address = %grpc.display(), root = %arguments.root.display(), "serving");
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let server = router(supervisor, introspection, content, snapshots)
        .serve_with_incoming_shutdown(connections(listener), async {
            let _ = stopping.await;
        });
    let result = run_until(server, stopped, stop).await;
    for socket in [&grpc, &ttrpc] {
        let _ = std::fs::remove_file(socket);
    }
    records.flush().await?;
    tracing::info!("stopped; containers go on");
    result
}

/// Connections as they come. One that cannot be taken, mostly for want of descriptors, would be
/// there again at once: the next attempt waits.
fn connections(listener: UnixListener) -> impl Stream<Item = std::io::Result<UnixStream>> {
    UnixListenerStream::new(listener).then(async |connection| {
        if let Err(error) = &connection {
            tracing::warn!(%error, "cannot take a connection");
            tokio::time::sleep(REST).await;
        }
        connection
    })
}

/// Runs the server until told to stop, then gives calls under way a moment.
async fn run_until(
    server: impl Future<Output = Result<(), tonic::transport::Error>>,
    stopped: impl Future<Output = ()>,
    stop: tokio::sync::oneshot::Sender<()>,
) -> anyhow::Result<()> {
    tokio::pin!(server);
    tokio::select! {
        // The server is only borrowed; the signals are cancel-safe.
        result = &mut server => return Ok(result?),
        () = stopped => {}
    }
    let _ = stop.send(());
    // Subscriptions and waits never end by themselves.
    match tokio::time::timeout(GRACE, server).await {
        Ok(result) => Ok(result?),
        Err(_) => Ok(()),
    }
}

fn router(
    supervisor: Supervisor,
    introspection: IntrospectionService,
    content: ContentStore,
    snapshots: Overlay,
) -> tonic::transport::server::Router<Layers> {
    /// A server that takes and gives messages of containerd's size.
    macro_rules! sized {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE)
        };
    }
    let snapshotters: Vec<Arc<dyn Snapshotter>> = vec![Arc::new(snapshots.clone())];
    let images = ImageStore::new(
        content.clone(),
        snapshots.clone(),
        supervisor.store.clone(),
        supervisor.events.clone(),
    );
    let collector = supervisor.collector.clone();
    let images = images.when_ended({
        let collector = collector.clone();
        move || collector.schedule()
    });
    let streams = Streams::default();
    let events = supervisor.events.clone();
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .layer(TraceLayer)
        .add_service(sized!(ContainersServer, ContainersService(supervisor.clone())))
        .add_service(sized!(
            ContentServer,
            ContentService::new(content.clone()).announcing(events.clone())
        ))
        .add_service(sized!(DiffServer, DiffService::new(content, snapshots)))
        .add_service(sized!(EventsServer, EventsService(supervisor.clone())))
        .add_service(sized!(HealthServer, HealthService))
        .add_service(sized!(ImagesServer, ImagesService(supervisor.clone())))
        .add_service(sized!(IntrospectionServer, introspection))
        .add_service(sized!(LeasesServer, LeasesService(supervisor.clone())))
        .add_service(sized!(NamespacesServer, NamespacesService(supervisor.clone())))
        .add_service(sized!(
            SnapshotsServer,
            SnapshotsService::new(snapshotters)
                .announcing(events)
                .when_removed(move || collector.snapshot_removed())
        ))
        .add_service(sized!(StreamingServer, StreamingService::new(streams.clone())))
        .add_service(sized!(TasksServer, TasksService(supervisor)))
        .add_service(sized!(TransferServer, TransferService::new(images, streams)))
        .add_service(sized!(VersionServer, VersionService))
}

/// Listens at `path`, in place of whoever was killed there. The socket appears under its name
/// only once it has its mode.
fn bind(path: &Path, mode: u32) -> anyhow::Result<UnixListener> {
    let failed = || format!("listen at {}", path.display());
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    let _ = std::fs::remove_file(temporary);
    let listener = UnixListener::bind(temporary).with_context(failed)?;
    rustix::fs::chmod(temporary, Mode::from_raw_mode(mode)).with_context(failed)?;
    std::fs::rename(temporary, path).with_context(failed)?;
    Ok(listener)
}
