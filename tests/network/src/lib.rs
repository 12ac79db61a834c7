//! End-to-end tests: network.

#![forbid(unsafe_code)]
