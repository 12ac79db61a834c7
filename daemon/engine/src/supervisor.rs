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

/// Makes "not found" an absence.
pub(crate) fn optional<T>(answer: Result<T, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if status::kind(&error) == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
