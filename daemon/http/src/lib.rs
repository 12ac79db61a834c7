//! The Engine API over HTTP.

#![forbid(unsafe_code)]
