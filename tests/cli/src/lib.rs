//! End-to-end tests: cli.

#![forbid(unsafe_code)]
