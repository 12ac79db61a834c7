//! The engine: containers, images, exec, logs, events, stats.
//!
//! The entry point is [`Engine`], a cheap handle with one method for each of the Engine API's
//! operations. The engine knows no HTTP (its errors are Docker's texts with a `Kind`) and no
//! kernel: namespaces are `daemon-network`'s, files of containers `daemon-volumes`', logs
//! `daemon-logs`', processes the supervisor's.
//!
//! Invariants:
//! - each container has one driver task (`container`) that owns its state, never waits for
//!   anything slow, and publishes what it knows; everybody else reads the published value;
//! - work that a request started goes on when the caller is gone: methods send a command to a
//!   driver, or spawn, and only wait;
//! - what must survive the daemon is on disk before it is answered (`record`).

#![forbid(unsafe_code)]

mod engine;
mod error;
mod requests;
mod shared;
mod streams;

mod container;
mod events;
mod exec;
mod images;
mod networks;
mod stats;
mod system;
mod volumes;

mod adopt;
mod client;
mod record;
mod spec;
mod supervisor;
mod until;

pub use engine::Engine;
pub use error::{Error, Result};
pub use requests::{
    AttachOptions, ClientStream, ContainerListOptions, Duplex, EventsOptions, ExecStartOptions,
    ImageListOptions, ImageRemoveOptions, LogsOptions, PullOptions, RemoveOptions, StatsOptions,
    StopOptions, Transport, WaitCondition,
};
pub use shared::{EngineConfig, OWN_RUNTIME, Reloadable};
pub use streams::{Attachment, ContainerWait, EventStream, LogEntry, Logs};
pub use supervisor::traced;
