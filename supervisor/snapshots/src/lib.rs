//! Overlay snapshots and the layer extractor.
//!
//! [`snapshotter::Snapshotter`] is what clients see, [`overlay::Overlay`] the one that there is.
//! [`layer`] unpacks compressed layers with [`extract`], the only code that reads what a stranger
//! packed. Nothing is mounted here: a layer is written where an overlay mount would put it, and
//! becomes a snapshot only after its digest was verified and it would survive power loss.

#![forbid(unsafe_code)]

pub mod decompress;
pub mod extract;
pub mod layer;
pub mod overlay;
pub mod service;
pub mod snapshotter;
mod usage;

pub use overlay::Overlay;
pub use snapshotter::{NewSnapshot, SnapshotError, Snapshotter};
