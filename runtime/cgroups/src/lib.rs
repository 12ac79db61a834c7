//! Cgroups v1 and v2 behind one trait.
//!
//! A container's cgroup is found ([`locate`]) from the configuration's path, made before the
//! container's first process exists, and found again ([`reopen`]) from a [`Record`] that the
//! container's state keeps. [`Cgroup`] is what can be done with it, whichever version the host
//! runs, and whether its folders are made here or a scope by systemd ([`locate_scope`]); which it
//! is, is decided here and nowhere else. [`resctrl`] is its neighbour for caches
//! and memory bandwidth (Intel RDT).
//!
//! Not here: mounting hierarchies (the host's business).

#![forbid(unsafe_code)]

mod absent;
mod below;
mod devices;
mod discover;
mod events;
mod knob;
pub mod resctrl;
mod systemd;
mod v1;
mod v2;

pub use absent::{create_permitted, is_forbidden};
pub use below::Below;
pub use discover::{Hierarchy, locate};
pub use events::drain;
pub use systemd::{BusError, Error as SystemdError, Scope, locate as locate_scope};

use base_errors::{Classify, Kind};
use base_oci::runtime::Resources;
use contracts_runtime_api::Stats;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// A container's cgroup, in one hierarchy or several.
pub trait Cgroup {
    /// Makes the folders; one that exists is used if nobody is in it. Whether any is new: those
    /// are the ones to be removed when the container does not come to be. `first` is the process
    /// that they are made for, where it exists already ([`Cgroup::needs_process`]).
    ///
    /// # Errors
    /// A folder has processes or is frozen, or the kernel refuses; then none that is new is left.
    fn create(&self, first: Option<i32>) -> Result<bool, Error>;

    /// Whether it cannot be made without a process that is put in at once.
    fn needs_process(&self) -> bool {
        false
    }

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

    /// Puts a further process in: into a group below where `below` says so, else beside `init`,
    /// should that have moved itself (cgroup v2 allows no process above others).
    ///
    /// # Errors
    /// The kernel's; there is no such group below.
    fn attach_further(&self, pid: i32, below: &Below, init: i32) -> Result<(), Error>;

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

    /// How often the kernel killed in it for want of memory; none where it cannot be told (any more).
    fn oom_kills(&self) -> Option<u64>;

    /// What can be read when that number has changed, or is about to.
    fn memory_events(&self) -> Option<OwnedFd>;

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
    /// The scope that systemd keeps for it, if that is the driver.
    pub scope: Option<Scope>,
}

/// The cgroup of a record.
#[must_use]
pub fn reopen(record: Record) -> Box<dyn Cgroup> {
    if let Some(scope) = record.scope.clone() {
        Box::new(systemd::Systemd::new(record, scope))
    } else if record.hierarchies.is_empty() {
        Box::new(absent::Absent::new(record))
    } else if record.unified {
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
    #[error("cgroup path {0:?} is systemd's: it needs --systemd-cgroup")]
    NeedsSystemd(String),
    /// systemd could not be asked, or refused.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// A limit needs a controller that this host does not have mounted, or that is not this user's.
    #[error(
        "cannot limit {0}: there is no cgroup controller for it, or none that this user may use (have a cgroup delegated, or leave the limit out)"
    )]
    NoController(&'static str),
    /// There is no freezer, or none for this user.
    #[error("cannot freeze: there is no cgroup freezer, or none that this user may use")]
    NoFreezer,
    /// Something of a container that has no cgroup.
    #[error(
        "this container has no cgroup: its user may not make one, or the host has none mounted"
    )]
    NoCgroup,
    /// A limit has no meaning.
    #[error("{what} {value} is not valid")]
    Invalid {
        /// Which.
        what: &'static str,
        /// What it was.
        value: String,
    },
    /// A rule for a part of an earlier rule's devices, on cgroup v1.
    #[error(
        "cannot punch hole in existing wildcard rule: cgroup v1 cannot except {0} (name the devices that remain)"
    )]
    DeviceHole(String),
    /// More memory is in use than the new limit allows, and the caller asked for a check.
    #[error("memory in use ({used} bytes) is more than the new limit ({limit} bytes)")]
    MemoryInUse {
        /// Bytes in use.
        used: u64,
        /// Bytes of the new limit.
        limit: i64,
    },
    /// A limit of memory and swap, and none of memory that is part of it, on cgroup v2.
    #[error("unable to set swap limit without memory limit")]
    SwapAlone,
    /// The cgroup was there before, and is in use.
    #[error("container's cgroup is not empty: {0} process(es) found")]
    NotEmpty(usize),
    /// The cgroup was there before, and its processes are stopped.
    #[error("container's cgroup unexpectedly frozen")]
    Frozen,
    /// Files of cgroup v2 were named on a host with v1.
    #[error("invalid configuration: cannot use unified on cgroup v1")]
    NotUnified,
    /// Limits of caches or memory bandwidth on a machine that has none.
    #[error("intelRdt is specified in config, but Intel RDT is not enabled")]
    NoResctrl,
    /// A part of it that this machine does not have.
    #[error("intelRdt.{field} is specified in config, but Intel RDT/{what} is not enabled")]
    NoResctrlPart {
        /// Which property.
        field: &'static str,
        /// What it needs.
        what: &'static str,
    },
    /// A class of service has to exist when nothing is said about it.
    #[error("clos dir {} has to exist where neither schemata, l3CacheSchema nor memBwSchema is set", .0.display())]
    NoClass(PathBuf),
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
            Self::Systemd(error) => error.errno(),
            _ => None,
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidPath(_)
            | Self::NeedsSystemd(_)
            | Self::Invalid { .. }
            | Self::DeviceHole(_)
            | Self::SwapAlone
            | Self::NotUnified => Kind::InvalidArgument,
            Self::Systemd(error) => error.kind(),
            Self::NoController(_)
            | Self::NoFreezer
            | Self::NoCgroup
            | Self::MemoryInUse { .. }
            | Self::NotEmpty(_)
            | Self::Frozen
            | Self::NoResctrl
            | Self::NoResctrlPart { .. }
            | Self::NoClass(_) => Kind::FailedPrecondition,
            Self::Freezing(_) => Kind::DeadlineExceeded,
            Self::Refused { errno, .. } => Kind::from_io(&(*errno).into()),
        }
    }
}

/// Parsers of `/proc`, for `fuzz/` only.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// Controllers and path of a line of `/proc/self/cgroup`.
    #[must_use]
    pub fn own_cgroup(line: &str) -> Option<(&str, &str)> {
        crate::discover::own_cgroup(line)
    }

    /// Where `/proc/self/mountinfo` says that controllers are mounted.
    #[must_use]
    pub fn mount_point(mounts: &str, controllers: &str) -> Option<std::path::PathBuf> {
        crate::discover::Mounts::parse(mounts).of(controllers)
    }
}
