//! containerd's gRPC messages and services: daemon to supervisor.

#![forbid(unsafe_code)]
