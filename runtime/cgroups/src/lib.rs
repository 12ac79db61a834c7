//! Cgroups v1 and v2 behind one trait.
//!
//! A container's cgroup is found ([`locate`]) from the configuration's path, made before the
//! container's first process exists, and found again ([`reopen`]) from a [`Record`] that the
//! container's state keeps. [`Cgroup`] is what can be done with it, whichever version the host
//! runs; which it is, is decided here and nowhere else.
//!
//! Not here: mounting hierarchies (the host's business), and the systemd driver.

#![forbid(unsafe_code)]

mod devices;
mod discover;
mod knob;
mod v1;
mod v2;

pub use discover::{Hierarchy, locate};

use base_errors::{Classify, Kind};
use base_oci::runtime::Resources;
use contracts_runtime_api::Stats;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// A container's cgroup, in one hierarchy or several.
pub trait Cgroup {
    /// Makes the folders. Those that exist already are used as they are.
    ///
    /// # Errors
    /// The kernel's.
    fn create(&self) -> Result<(), Error>;

    /// Sets limits; those that are left out stay.
    ///
    /// # Errors
    /// The kernel refuses a value, or has no controller for it.
    fn apply(&self, resources: &Resources) -> Result<(), Error>;

    /// Sets which devices may be used; `rules` are applied in order to nothing allowed.
    ///
    /// # Errors
    /// The kernel's.
    fn apply_devices(&self, resources: &Resources) -> Result<(), Error>;

    /// Puts a process in.
    ///
    /// # Errors
    /// The kernel's.
    fn attach(&self, pid: i32) -> Result<(), Error>;

    /// The folder for a clone straight into the cgroup, where that exists.
    fn clone_target(&self) -> Option<OwnedFd>;

    /// Stops every process, or lets them go on; returns once it is so.
    ///
    /// # Errors
    /// The kernel's; it has no freezer.
    fn freeze(&self, frozen: bool) -> Result<(), Error>;

    /// Whether it is frozen.
    fn is_frozen(&self) -> bool;

    /// Every process in it and below it.
    ///
    /// # Errors
    /// The kernel's.
    fn processes(&self) -> Result<Vec<i32>, Error>;

    /// Kills every process in it and below it with SIGKILL, if the kernel can do that at once.
    fn kill(&self) -> bool;

    /// What it uses.
    ///
    /// # Errors
    /// It is gone.
    fn stats(&self) -> Result<Stats, Error>;

    /// Removes the folders, with those below that the container made.
    ///
    /// # Errors
    /// Processes are left in it.
    fn remove(&self) -> Result<(), Error>;

    /// Where it is, for [`reopen`] and for mounts of type `cgroup`.
    fn record(&self) -> Record;
}

/// Where a container's cgroup is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Whether it is in the one hierarchy of cgroup v2.
    pub unified: bool,
    /// Its folders.
    pub hierarchies: Vec<Hierarchy>,
}

/// The cgroup of a record.
#[must_use]
pub fn reopen(record: Record) -> Box<dyn Cgroup> {
    if record.unified {
        Box::new(v2::Unified::new(record))
    } else {
        Box::new(v1::Split::new(record))
    }
}

/// A cgroup that could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured path climbs out or is not one.
    #[error("cgroup path {0:?} is not valid")]
    InvalidPath(String),
    /// A systemd path, which needs the systemd driver.
    #[error("cgroup path {0:?} is systemd's: the systemd cgroup driver is not implemented")]
    Systemd(String),
    /// A limit needs a controller that this host does not have mounted.
    #[error("{0} is limited, but this host has no cgroup controller for it")]
    NoController(&'static str),
    /// A limit has no meaning.
    #[error("{what} {value} is not valid")]
    Invalid {
        /// Which.
        what: &'static str,
        /// What it was.
        value: String,
    },
    /// More memory is in use than the new limit allows, and the caller asked for a check.
    #[error("memory in use ({used} bytes) is more than the new limit ({limit} bytes)")]
    MemoryInUse {
        /// Bytes in use.
        used: u64,
        /// Bytes of the new limit.
        limit: i64,
    },
    /// The freezer did not come to rest.
    #[error("cgroup {} did not freeze in time", .0.display())]
    Freezing(PathBuf),
    /// The kernel refused.
    #[error("{step} {}", path.display())]
    Refused {
        /// What was being done.
        step: String,
        /// To which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        errno: Errno,
    },
}

impl Error {
    /// The kernel's reason, if it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidPath(_) | Self::Invalid { .. } => Kind::InvalidArgument,
            Self::Systemd(_) => Kind::Unimplemented,
            Self::NoController(_) | Self::MemoryInUse { .. } => Kind::FailedPrecondition,
            Self::Freezing(_) => Kind::DeadlineExceeded,
            Self::Refused { errno, .. } => Kind::from_io(&(*errno).into()),
        }
    }
}
