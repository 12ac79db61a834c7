//! The arrow down: containerd's services, each call with namespace and trace.

use crate::error::Error;
use base_errors::Kind;
use base_telemetry::TraceContext;
use contracts_supervisor_api::metadata::{CallContext, MAX_MESSAGE};
use contracts_supervisor_api::services::{
    containers::containers_client::ContainersClient, content::content_client::ContentClient,
    diff::diff_client::DiffClient, events::events_client::EventsClient,
    images::images_client::ImagesClient, leases::leases_client::LeasesClient,
    snapshots::snapshots_client::SnapshotsClient, streaming::streaming_client::StreamingClient,
    tasks::tasks_client::TasksClient, transfer::transfer_client::TransferClient,
};
use contracts_supervisor_api::status;
use contracts_supervisor_api::tonic::{Request, Status, transport::Channel};
use std::path::Path;
use std::time::{Duration, Instant};

/// The namespace that Docker's containers and images are in.
pub(crate) const NAMESPACE: &str = "moby";
/// The snapshotter that holds root file systems.
pub(crate) const SNAPSHOTTER: &str = "overlayfs";
/// Our shim, as the supervisor is asked for it.
pub(crate) const RUNTIME: &str = "io.containerd.gantry.v2";

tokio::task_local! {
    static TRACE: TraceContext;
}

/// Runs a future as part of a trace: calls that it leads to carry it to the other programs.
pub async fn traced<F: Future>(trace: TraceContext, future: F) -> F::Output {
    TRACE.scope(trace, future).await
}

/// The trace that the caller is part of; a new one where there is none.
pub(crate) fn current_trace() -> TraceContext {
    TRACE.try_with(|trace| *trace).unwrap_or_default()
}

/// Clients of one supervisor, which may come and go.
#[derive(Clone)]
pub(crate) struct Supervisor {
    channel: Channel,
    context: CallContext,
}

macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident: $client:ident,)*) => {
        $($(#[$doc])*
        pub(crate) fn $name(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE)
        })*
    };
}

impl Supervisor {
    /// Uses the supervisor behind a socket; connects when first needed.
    pub(crate) fn at(socket: &Path) -> Self {
        let context = CallContext::new(NAMESPACE).expect("a constant identifier");
        Self { channel: contracts_supervisor_api::channel::lazy(socket), context }
    }

    clients! {
        /// Container records.
        containers: ContainersClient,
        /// Blobs.
        content: ContentClient,
        /// Unpacking of layers.
        diff: DiffClient,
        /// What happens to tasks.
        events: EventsClient,
        /// Image names.
        images: ImagesClient,
        /// Protection from garbage collection.
        leases: LeasesClient,
        /// Root file systems.
        snapshots: SnapshotsClient,
        /// Side channels of transfers.
        streaming: StreamingClient,
        /// Processes.
        tasks: TasksClient,
        /// Pulls.
        transfer: TransferClient,
    }

    /// Wraps a message with namespace and the caller's trace.
    pub(crate) fn call<T>(&self, message: T) -> Request<T> {
        self.context.clone().with_trace(current_trace()).request(message)
    }

    /// The same, protecting what is made by a lease.
    pub(crate) fn call_leased<T>(&self, lease: &str, message: T) -> Request<T> {
        self.context.clone().with_trace(current_trace()).with_lease(lease).request(message)
    }
}

/// The error that a failed call is for the engine's caller.
pub(crate) fn failed(step: &'static str) -> impl FnOnce(Status) -> Error {
    move |answer| match status::kind(&answer) {
        Kind::Unavailable => Error::Supervisor(format!("{step}: {}", answer.message())),
        Kind::Internal => Error::internal(step, answer.message()),
        kind => Error::Remote { kind, message: format!("{step}: {}", answer.message()) },
    }
}

/// How long a supervisor may take to answer after it was started again.
const AWAY: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(5);

/// Calls until there is an answer, though the supervisor may die meanwhile: for what nobody else
/// would try again. The call must be one that may come twice.
pub(crate) async fn insist<T, F>(mut call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let begun = Instant::now();
    loop {
        match call().await {
            Err(error) if is_away(&error) && begun.elapsed() < AWAY => {
                tokio::time::sleep(AGAIN).await;
            }
            answer => return answer,
        }
    }
}

/// Whether this is no supervisor's answer. What went wrong with the connection is the source then.
fn is_away(error: &Status) -> bool {
    status::kind(error) == Kind::Unavailable || std::error::Error::source(error).is_some()
}

/// Makes "not found" an absence.
pub(crate) fn optional<T>(answer: Result<T, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if status::kind(&error) == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
