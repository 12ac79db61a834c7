//! Registries: resolve, authenticate, fetch.

#![forbid(unsafe_code)]
