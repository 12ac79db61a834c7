//! Confinement: capabilities, seccomp, rlimits, identity, labels.
//!
//! Each part has two halves: `parse` or `compile` turns the configuration into numbers (in the
//! parent, where errors are cheap), `apply` makes the system calls (in the container's process,
//! shortly before its program). Nothing here forks, mounts or opens a path that a container
//! controls.
//!
//! - [`seccomp`]: OCI profile to BPF.
//! - [`capabilities`], [`rlimits`], [`identity`], [`scheduling`], [`affinity`]: what their names say.
//! - [`sysctls`]: kernel parameters that belong to a container's namespaces.
//! - [`labels`]: AppArmor and SELinux, where the kernel has them.

#![forbid(unsafe_code)]

pub mod affinity;
pub mod capabilities;
pub mod identity;
pub mod labels;
pub mod rlimits;
pub mod scheduling;
pub mod seccomp;
pub mod sysctls;

use base_errors::{Classify, Kind};
use rustix::io::Errno;

/// A part of the confinement that is wrong or was refused.
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
    /// The configuration says the same thing twice.
    #[error("{what} {value:?} is given twice")]
    Duplicate {
        /// Which part.
        what: &'static str,
        /// What it said.
        value: String,
    },
    /// The scheduler is given what its policy has no use for; runc's words.
    #[error("scheduler{0}")]
    SchedulerPolicy(&'static str),
    /// A sysctl that belongs to no namespace of the container's own.
    #[error("sysctl {0:?} is not in a separate kernel namespace")]
    HostSysctl(String),
    /// The filter is longer than the kernel takes.
    #[error("seccomp filter has {0} instructions, more than the kernel's 4096")]
    FilterTooLong(usize),
    /// The kernel takes no such AppArmor profile: mostly it is not loaded. Callers search for the
    /// text, which is runc's.
    #[error(
        "unable to apply apparmor profile: apparmor failed to apply profile: write {profile:?}"
    )]
    AppArmor {
        /// Its name.
        profile: String,
        /// Why not.
        #[source]
        errno: Errno,
    },
    /// The kernel takes no such SELinux label: mostly its policy knows no such type.
    #[error("can't set process label: write {label:?}")]
    SeLinux {
        /// Which.
        label: String,
        /// Why not.
        #[source]
        errno: Errno,
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
    /// A file of `/proc` could not be written.
    #[error("{step}")]
    Procfs {
        /// What was being done.
        step: String,
        /// Why not.
        #[source]
        source: kernel_paths::Error,
    },
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. }
            | Self::Duplicate { .. }
            | Self::SchedulerPolicy(_)
            | Self::HostSysctl(_)
            | Self::FilterTooLong(_)
            | Self::AppArmor { errno: Errno::NOENT, .. }
            | Self::SeLinux { errno: Errno::INVAL, .. } => Kind::InvalidArgument,
            Self::AppArmor { errno, .. } | Self::SeLinux { errno, .. } => {
                Kind::from_io(&(*errno).into())
            }
            Self::Refused { errno, .. } => Kind::from_io(&(*errno).into()),
            Self::Procfs { source, .. } => source.kind(),
        }
    }
}

/// The bits of a list as the kernel writes them (`0-3,7`), none of them above `last_allowed`.
fn list_mask(what: &'static str, list: &str, last_allowed: usize) -> Result<Vec<u64>, Error> {
    let wrong = || Error::Invalid { what, value: list.to_owned() };
    let mut mask = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.parse().map_err(|_| wrong())?;
        let last: usize = last.parse().map_err(|_| wrong())?;
        if first > last || last > last_allowed {
            return Err(wrong());
        }
        mask.resize(mask.len().max(last / 64 + 1), 0);
        for number in first..=last {
            mask[number / 64] |= 1 << (number % 64);
        }
    }
    Ok(mask)
}

/// Names the step of a refused system call.
fn refused(step: impl Into<String>) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Refused { step: step.into(), errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_masks_and_nonsense_is_refused() {
        let mask = |list| list_mask("list", list, 1023);
        assert_eq!(mask("0-2,65").unwrap(), vec![0b111, 0b10]);
        assert_eq!(mask(" 1 ,, ").unwrap(), vec![0b10]);
        assert_eq!(mask("").unwrap(), Vec::<u64>::new());
        for bad in ["a", "3-1", "0-99999", "-", "1024"] {
            assert!(mask(bad).is_err(), "{bad}");
        }
    }
}
