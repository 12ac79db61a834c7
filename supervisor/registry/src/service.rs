//! The gRPC services, for the supervisor's main to mount.

pub use crate::streams::StreamingService;
pub use crate::transfer::TransferService;
