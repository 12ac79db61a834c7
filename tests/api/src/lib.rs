//! End-to-end tests: api.

#![forbid(unsafe_code)]
