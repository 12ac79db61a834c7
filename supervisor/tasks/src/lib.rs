//! Shims and their tasks: launch, calls, exits, adoption.
//!
//! Entry point: [`Tasks`]. A task is one shim process, reached over one ttrpc connection, and one
//! bundle directory; this crate knows nothing of container records, images or gRPC.
//!
//! Invariants:
//! - The truth about a running container is its shim and its bundle; nothing here is needed to
//!   keep it running, and a supervisor that starts finds all of it again ([`Tasks::adopt`]).
//! - A `Wait` is held on every task, so an exit is known without a client asking for it, and is
//!   announced once.
//! - An exit status stays (in `exit.json`, too) until the task is deleted, even when its shim has
//!   died.
//! - A name is free again for a new task only when the old one's shim has gone.

#![forbid(unsafe_code)]

mod adoption;
mod binary;
mod bundle;
mod connection;
mod error;
mod frames;
mod log_pipe;
mod reaper;
mod shim;
mod task;
mod tasks;

pub use bundle::Layout;
pub use error::Error;
pub use frames::Frames;
pub use reaper::Reaper;
pub use shim::Scope;
pub use task::Exit;
pub use tasks::{Config, NewTask, Tasks};
