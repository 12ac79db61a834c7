//! The Docker Engine API's messages: client to daemon.

#![forbid(unsafe_code)]
