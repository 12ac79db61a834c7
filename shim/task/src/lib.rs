//! The shim's tasks: it stays with its containers for as long as they run, and is all that must
//! not die while they do.
//!
//! It serves the Task service (ttrpc, version 2 and 3), holds the processes' stdio, writes their
//! logs and serves attachments, reaps, records exits and publishes events. It makes no container
//! itself: forked workers call the linked runtime. One thread, one epoll loop, no allocation that
//! outlives its need; it reads neither arguments nor environment (`shim/main` does).
//!
//! Entry points: [`start`] and [`delete`], the two actions of the shim binary protocol.
//!
//! Invariants:
//! - nothing waits but the event loop;
//! - a container's bytes are in its log before anybody else gets them, and before its exit is told;
//! - `exit.json` is on disk before any `Wait` is answered;
//! - when the shim dies its containers' inits live on, without anybody who reads their output: the
//!   supervisor, which sees the connection close, then runs the `delete` action, which kills them.

#![forbid(unsafe_code)]

mod error;
pub use error::TaskError;

mod logging;
pub use logging::Log;

mod server;
pub use server::{Config, Server};

mod start;
pub use start::{StartAction, Started, start};

mod delete;
pub use delete::{DeleteAction, delete};

mod service;

mod lifecycle;

mod starting;

mod checkpoints;

mod endings;

mod attachments;

mod process;

mod container;

mod stdio;

mod worker;

mod runtime;

mod connection;

mod publisher;

mod memory;

mod stats;

mod reactor;
