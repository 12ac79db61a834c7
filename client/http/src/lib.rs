//! Engine API requests from a client: one small, synchronous HTTP/1.1 client.
//!
//! A command is a handful of requests in sequence and at most two streams beside them, so there is
//! no runtime here: requests block, and whoever needs a second stream has a second thread. The
//! entry point is [`Client`]. This crate knows nothing of commands, and decides nothing about
//! which daemon to speak to: that is an [`Endpoint`], which the program resolves.
//!
//! Invariants: every answer's head, and every body that is read whole, has a size limit; a
//! connection is used again only after its last answer was read to its end.

#![forbid(unsafe_code)]

mod body;
mod client;
mod endpoint;
mod error;
mod frames;
mod hijack;
mod message;
mod request;
mod ssh;
mod tls;
mod transport;

pub use body::Body;
pub use client::{Client, Launcher};
pub use endpoint::{Endpoint, InvalidHost, Place, TlsFiles, parse_host};
pub use error::{Error, Result};
pub use frames::{FrameError, Frames};
pub use hijack::Hijacked;
pub use request::{Method, Request, Response};
pub use tls::TlsError;
pub use transport::Stream;
