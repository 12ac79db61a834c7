//! Named volumes, and reading files of a container's root file system.
//!
//! [`Volumes`] keeps `<data>/volumes/<name>/{_data,volume.json}`. [`RootView`] lets the daemon
//! look into a root file system (account files, the content that a new volume starts with)
//! without trusting a single path in it: the layers are mounted detached, visible nowhere, and
//! gone with the descriptor.
//!
//! Not here: which container uses which volume (the engine knows), and mounting volumes into
//! containers (the runtime does).

#![forbid(unsafe_code)]

mod copy;
mod store;
mod view;

pub use copy::copy_up;
pub use store::{Detached, Error, Volume, Volumes};
pub use view::{Layers, RootView, ViewError};
