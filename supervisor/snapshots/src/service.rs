//! The gRPC services of snapshots and of the layers that are applied to them.

mod diff;
mod snapshots;

pub use diff::DiffService;
pub use snapshots::SnapshotsService;
