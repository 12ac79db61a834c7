//! End-to-end tests: oci.

#![forbid(unsafe_code)]
