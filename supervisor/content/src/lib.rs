//! Blobs by digest.
//!
//! [`ContentStore`] is the entry point, [`service::ContentService`] its gRPC face. A blob is
//! visible only when its digest was verified and it would survive power loss. What refers to a
//! blob, and when it may go, is not known here: see `supervisor-metadata`'s collection.

#![forbid(unsafe_code)]

mod blobs;
mod error;
mod ingest;
pub mod labels;
pub mod request;
pub mod service;
mod store;

pub use blobs::{BlobFile, Blobs};
pub use error::ContentError;
pub use ingest::{Ingest, IngestStatus};
pub use store::{ContentStore, Details, Writer};
