//! Resource figures of a container, the `Any` of `StatsResponse`: the parts of containerd/cgroups'
//! messages that engines read.

pub mod v1;
pub mod v2;
