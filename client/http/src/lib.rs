//! Engine API requests from a client.

#![forbid(unsafe_code)]
