//! The OCI runtime command line's documents: shim to runtime.
//!
//! What `state`, `list`, `events` and `ps` print, and the texts that callers recognise. The
//! configuration that goes the other way is `base_oci::runtime`.
//!
//! - [`State`], [`Status`]: what a container is doing.
//! - [`stats`]: use of resources, in runc's `events` layout.
//! - [`texts`]: error fragments that engines search for.

#![forbid(unsafe_code)]

mod state;
pub mod stats;
pub mod texts;

pub use state::{ListEntry, State, Status};
pub use stats::Stats;
