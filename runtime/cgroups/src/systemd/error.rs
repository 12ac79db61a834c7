//! What can go wrong with systemd.

use super::BusError;
use base_errors::{Classify, Kind};
use rustix::io::Errno;
use std::path::PathBuf;

/// What systemd could not be asked, or did not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path of another form.
    #[error(
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {0:?} instead"
    )]
    Path(String),
    /// Something that is no slice's name.
    #[error("invalid slice name: {0}")]
    Slice(String),
    /// A slice where a scope is wanted: no process can be in one.
    #[error(
        "a container is in a scope, not in slice {0}: leave \".slice\" out of cgroupsPath's name"
    )]
    IsSlice(String),
    /// An annotation.
    #[error("annotation org.systemd.property.{name}: {reason}")]
    Annotation {
        /// The property's name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// No systemd.
    #[error(
        "systemd is not running on this host, cannot use the systemd cgroup driver: leave out --systemd-cgroup and let cgroupsPath be a path"
    )]
    Absent,
    /// No way to the user's systemd.
    #[error(
        "no way to the user's systemd: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set (log in with a session of logind, or leave out --systemd-cgroup)"
    )]
    NoUserBus,
    /// A scope has to be made for a process.
    #[error("a scope needs a process")]
    NoProcess,
    /// Nobody answers, or not as expected.
    #[error("connect to systemd through {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: BusError,
    },
    /// A call failed.
    #[error("ask systemd to {call}")]
    Call {
        /// The method.
        call: &'static str,
        /// Why not.
        #[source]
        source: BusError,
    },
    /// An answer of other types than documented.
    #[error("systemd's answer to {0} is not understood")]
    Answer(&'static str),
    /// A unit was not started, or stopped.
    #[error("{call} {unit}: systemd's job ended as {result:?}")]
    Job {
        /// The method.
        call: &'static str,
        /// The unit.
        unit: String,
        /// `failed`, `timeout`, `canceled`, `dependency`.
        result: String,
    },
}

impl Error {
    /// The kernel's reason, if it was the kernel that refused.
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Connect { source, .. } | Self::Call { source, .. } => source.errno(),
            _ => None,
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Path(_) | Self::Slice(_) | Self::IsSlice(_) | Self::Annotation { .. } => {
                Kind::InvalidArgument
            }
            Self::Absent | Self::NoUserBus => Kind::FailedPrecondition,
            Self::Connect { .. } => Kind::Unavailable,
            Self::Call { .. } | Self::Answer(_) | Self::Job { .. } | Self::NoProcess => {
                Kind::Internal
            }
        }
    }
}
