//! What exists: images, labels, leases, snapshots, containers.

#![forbid(unsafe_code)]
