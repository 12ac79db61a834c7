//! The OCI runtime configuration and image documents as Rust types.

#![forbid(unsafe_code)]
