//! The arrow from supervisor to shim: messages and their forms on the wire, no logic.
//!
//! Everything here is containerd's own protocol (shim binary protocol, ttrpc, Task service v2 and
//! v3, task events), but for our stdio scheme and its attach socket ([`stdio`], [`attach`]), which
//! ARCHITECTURE.md describes, and for [`exit`]. Nothing does input or output: the codecs take and
//! give bytes, so that the shim's event loop and the supervisor's async code use the same ones.
//!
//! In reading order: [`task`] (the service), [`types`] and [`options`] (what it takes), [`events`]
//! and [`metrics`] (what it tells), [`ttrpc`] (frames), [`bootstrap`] (how a shim is started),
//! [`stdio`] (where streams go), [`attach`] (the attach socket), [`exit`] (the status on disk).

#![forbid(unsafe_code)]

pub mod task;

pub mod types;

pub mod options;

pub mod events;

pub mod metrics;

pub mod ttrpc;

pub mod bootstrap;

pub mod stdio;

pub mod attach;

pub mod exit;
