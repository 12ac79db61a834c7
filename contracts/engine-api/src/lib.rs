//! The Docker Engine API's messages: what crosses the arrow between client and daemon.
//!
//! Types only, and the small codecs that both ends need; no I/O, no decisions. One struct serves
//! both directions: the daemon writes it exactly as Docker does (field order, `null` against `[]`
//! against absent), the client reads it from any Docker daemon.
//!
//! Rules that hold everywhere:
//! - decode with [`decode::from_slice`], never with `serde_json` directly: Go's rules for `null`,
//!   missing, unknown and differently cased fields live there, and Go's error texts;
//! - `Option<Vec<_>>` and `Option<BTreeMap<_>>` stand where Docker sends `null` as well as an
//!   empty list or object; plain ones where it never sends `null`;
//! - fields of old API versions are `Option`s that are absent when `None`; which version shows
//!   which field is decided in `daemon/http`.
//!
//! Reading order: [`container`], [`exec`], [`image`], [`network`], [`volume`], [`system`],
//! [`events`], then the codecs [`version`], [`decode`], [`filters`], [`query`], [`timestamp`],
//! [`stream`], [`progress`], [`auth`].

#![forbid(unsafe_code)]

pub mod container;
pub mod error;
pub mod events;
pub mod exec;
pub mod image;
pub mod network;
pub mod oci;
pub mod system;
pub mod volume;

pub mod auth;
pub mod decode;
pub mod filters;
pub mod progress;
pub mod query;
pub mod stream;
pub mod timestamp;
pub mod version;

mod presence;

pub use error::ErrorResponse;
pub use filters::Filters;
pub use version::ApiVersion;
