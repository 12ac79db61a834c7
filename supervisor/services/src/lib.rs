//! The containerd gRPC services.

#![forbid(unsafe_code)]
