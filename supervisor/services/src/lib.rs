//! The containerd gRPC services that are about records, tasks and events.
//!
//! Each service is one module with one struct; [`Supervisor`] is what they all work on. They turn
//! requests into calls of `supervisor-metadata` and `supervisor-tasks`, publish what changed, and
//! have garbage collected. Content, snapshots, diffs and transfers serve themselves in their own
//! crates. [`forward`] is the ttrpc socket that shims send their events to.
//!
//! What changes something runs in a task of its own: a client that goes away cancels nothing that
//! is half done.

#![forbid(unsafe_code)]

mod call;
mod collector;
mod containers;
mod events;
pub mod forward;
mod health;
mod images;
mod introspection;
mod leases;
mod namespaces;
mod tasks;
mod trace;
mod update_mask;
mod version;

pub use collector::Collector;
pub use containers::ContainersService;
pub use events::EventsService;
pub use health::HealthService;
pub use images::ImagesService;
pub use introspection::{IntrospectionService, plugins};
pub use leases::LeasesService;
pub use namespaces::NamespacesService;
pub use tasks::TasksService;
pub use trace::TraceLayer;
pub use version::VersionService;

use supervisor_events::Exchange;
use supervisor_metadata::Store;
use supervisor_tasks::Tasks;

/// What the services work on. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {
    /// The records.
    pub store: Store,
    /// The tasks.
    pub tasks: Tasks,
    /// The events.
    pub events: Exchange,
    /// Who removes what nothing refers to.
    pub collector: Collector,
}
