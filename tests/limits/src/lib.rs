//! End-to-end tests: limits.

#![forbid(unsafe_code)]
