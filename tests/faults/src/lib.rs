//! End-to-end tests: faults.

#![forbid(unsafe_code)]
