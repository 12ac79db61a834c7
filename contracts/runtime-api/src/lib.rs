//! The OCI runtime command line's documents: shim to runtime.

#![forbid(unsafe_code)]
