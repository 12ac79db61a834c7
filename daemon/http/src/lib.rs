//! The Engine API over HTTP: from bytes on a socket to calls of the engine, and back.
//!
//! Entry point: [`serve`]. Not here: what containers are (`daemon-engine`), what the messages
//! look like (`contracts-engine-api`), who calls (`daemon-main` opens the listeners).
//!
//! A request goes `server` → `connection` → `http1` (or `http2`, by the connection's first
//! bytes) → `site` (routing, version, headers, errors) → a handler in `routes` → the engine; its
//! JSON passes `gates` when the client speaks an older version.
//!
//! Invariants:
//! - a handler runs in a task of its own: a client that goes away cancels nothing half-done, it
//!   only ends streams that nobody reads;
//! - a hijacked connection leaves this crate whole: descriptor and the bytes already read;
//! - every read has a cap and a time (`http1::head`, `http1::body`, `connection`), every listener a
//!   number of clients (`server`).

#![forbid(unsafe_code)]

mod server;

mod connection;
mod http1;
mod http2;
mod listen;

mod failure;
mod gates;
mod reply;
mod request;
mod routes;
mod site;

pub use listen::{ListenError, Listener, TlsFiles};
pub use server::{Activity, Options, serve};
