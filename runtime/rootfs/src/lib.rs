//! A container's root file system: mounts, devices, masked paths, pivot.
//!
//! [`Plan::new`] reads the configuration in the parent, where errors are cheap, and
//! [`Plan::open_sources`] opens there what only the host's root may; the rest happens in the
//! container's first process, inside its new mount namespace: [`Plan::isolate`], [`Plan::build`],
//! [`Tree::console`], [`Tree::seal`], [`Tree::enter`].
//!
//! Invariants:
//! - nothing is ever mounted in the host's mount namespace, but what a container that shares its
//!   mounts (`rootfsPropagation`) mounts itself;
//! - a path that the container's image can influence is resolved once, inside the root, by
//!   `kernel-paths`, and used through its descriptor;
//! - mounts are made by descriptor (`fsopen`, `open_tree`, `move_mount`), so that neither source
//!   nor target can be exchanged between check and use.

#![forbid(unsafe_code)]

mod cgroups;
mod console;
mod copy;
mod devices;
mod label;
mod mask;
mod mounts;
mod move_root;
mod options;
mod plan;
mod tree;

pub use cgroups::{CgroupMount, CgroupMounts};
pub use plan::{BaseMount, IdMap, Plan, Request};
pub use tree::{Tree, terminal};

use base_errors::{Classify, Kind};
use rustix::io::Errno;

/// A root file system that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration says something that has no meaning.
    #[error("{what} {value:?} is not valid")]
    Invalid {
        /// Which part.
        what: &'static str,
        /// What it said.
        value: String,
    },
    /// Something would be mounted over a part of `/proc` that programs must be able to trust.
    #[error("{0:?} cannot be mounted because it is inside /proc")]
    InsideProc(String),
    /// Something that is no procfs would be mounted on `/proc`: programs, and runtimes that look
    /// there, would believe a forgery (CVE-2019-16884).
    #[error("{0:?} cannot be mounted because it is not of type proc")]
    NotProc(String),
    /// A path inside the root could not be resolved or made.
    #[error("{step}")]
    Path {
        /// What it was wanted for.
        step: String,
        /// Why not.
        #[source]
        source: kernel_paths::Error,
    },
    /// The kernel refused.
    #[error("{step}")]
    Refused {
        /// What was being done.
        step: String,
        /// Why not.
        #[source]
        errno: Errno,
    },
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. } | Self::InsideProc(_) | Self::NotProc(_) => Kind::InvalidArgument,
            Self::Path { source, .. } => source.kind(),
            Self::Refused { errno, .. } => Kind::from_io(&(*errno).into()),
        }
    }
}

/// Names the step of a refused system call.
fn refused(step: impl FnOnce() -> String) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Refused { step: step(), errno }
}

/// Names what a path was wanted for.
fn path(step: impl FnOnce() -> String) -> impl FnOnce(kernel_paths::Error) -> Error {
    move |source| Error::Path { step: step(), source }
}
