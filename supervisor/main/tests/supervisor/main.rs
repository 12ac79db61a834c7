//! The supervisor as its clients see it: the built program, over its sockets.
//!
//! Its shim here is containerd's own with runc (Debian's `containerd` and `runc`), so that these
//! tests tell of the supervisor alone, and that it works with other people's shims. Needs root.

#![allow(clippy::unwrap_used, reason = "tests")]

mod forward;
mod program;
mod records;
mod tasks;
