//! Path resolution inside a root that somebody hostile controls.
//!
//! A container owns its root file system: any component may be a symbolic link to elsewhere, and
//! may change while it is looked at. So a path is resolved once, by the kernel
//! (`openat2(RESOLVE_IN_ROOT)`), and what is found is used through its descriptor; no path string
//! is used twice.
//!
//! - [`Root`]: a folder that paths are resolved in.
//! - [`Procfs`]: a handle of the host's `/proc` that is known to be one.
//!
//! Not here: what is done with the descriptors.

#![forbid(unsafe_code)]

mod procfs;
mod root;

pub use procfs::Procfs;
pub use root::Root;

use base_errors::{Classify, Kind};
use rustix::io::Errno;
use std::path::PathBuf;

/// A path that could not be resolved or made.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}", path.display())]
pub struct Error {
    /// What was tried.
    step: &'static str,
    /// On which path, inside its root.
    path: PathBuf,
    /// Why it failed.
    #[source]
    errno: Errno,
}

impl Error {
    /// The kernel's reason.
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.errno
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        Kind::from_io(&self.errno.into())
    }
}
