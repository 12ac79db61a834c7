//! Reading container logs.
//!
//! The shim writes them (Docker's json-file format, with rotation: `NAME`, `NAME.1` … oldest
//! last); this crate only reads, and never holds more than one batch of entries. The entry point
//! is [`read`], which answers a channel of batches: first what is there, from the end where a
//! tail is wanted, then, when following, what comes, until the writer has stopped.
//!
//! It does not know containers, and renders no timestamps: [`entry::Entry::render`] does.

#![forbid(unsafe_code)]

mod changes;
mod entry;
mod files;
mod follow;
mod tail;

pub use entry::{Entry, Stream};
pub use follow::{Error, Query, Tail, read};
