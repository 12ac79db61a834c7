//! The OCI runtime configuration and image documents as Rust types.
//!
//! Types only: no validation beyond shape, no I/O. Fields that Go leaves out when empty are left
//! out here too; unknown fields are ignored and `null` reads as absent, as Go's decoder does,
//! because real engines write both.
//!
//! - [`runtime`]: `config.json` of runtime-spec 1.3 for Linux, with hooks and the state document.
//! - [`capabilities`]: their names, in the kernel's order.
//! - [`image`]: descriptors, manifests, indexes and image configurations of image-spec 1.1.

#![forbid(unsafe_code)]

#[macro_use]
mod document;

pub mod capabilities;
pub mod image;
pub mod runtime;
