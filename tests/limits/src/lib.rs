//! End-to-end tests: many of everything, and input that is too large.

#![forbid(unsafe_code)]
