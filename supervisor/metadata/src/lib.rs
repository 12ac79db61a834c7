//! What exists: namespaces, containers, images, leases, snapshots and blobs, as records.
//!
//! Entry point: [`Store`], which reads single records and changes several of them at once in a
//! [`Transaction`]. It knows nothing of files, mounts or shims; those who own blobs and snapshot
//! directories keep their records here and delete files when a record has gone ([`gc`]).
//!
//! Invariants:
//! - A change is either seen whole or not at all, also after a crash (of its ephemeral records,
//!   a crash before the answer may leave some).
//! - An acknowledged change survives what its record's [`Class`] says, and costs no more than
//!   that: `--rm` containers never wait for a disk (`docs/decisions/0003-three-classes-of-record.md`).
//! - A stored record is a protobuf message, so later versions can add fields; a store written by
//!   a later format is refused, not guessed at.

#![forbid(unsafe_code)]

pub mod filter;
pub mod gc;
pub mod index;
mod journal;
pub mod record;
mod store;

pub use contracts_supervisor_api::labels::EPHEMERAL;
pub use record::{Class, LeaseResource, Record, SnapshotRecord};
pub use store::{Config, Error, Store, Transaction};

/// The present moment, as records hold it.
#[must_use]
pub fn now() -> prost_types::Timestamp {
    std::time::SystemTime::now().into()
}
