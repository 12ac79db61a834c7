//! Garbage collection: which blobs and snapshots nothing refers to any more.

/// Labels a record with the time (RFC 3339) after which it no longer counts.
pub const EXPIRE: &str = "containerd.io/gc.expire";
