//! Registries, and the transfers of images between them, archives and the image store.
//!
//! [`ImageStore`] bundles what transfers work on; [`service`] has the gRPC services. A pull goes
//! from `transfer` to `pull`, which asks the registry through `client` and stores through
//! `supervisor-content` and `supervisor-snapshots`. Registries are hostile: every length has a
//! bound, every blob is verified, credentials go only where they were asked for.

#![forbid(unsafe_code)]

mod client;
mod documents;
mod error;
mod growing;
mod hosts;
mod image_store;
mod import;
mod lease;
mod locks;
pub mod platform;
mod progress;
mod pull;
pub mod reference;
pub mod service;
mod streams;
mod transfer;

pub use error::{PullError, RegistryError};
pub use image_store::ImageStore;
pub use streams::Streams;
