//! `setns(2)`, `unshare(2)` and descriptors of another process' namespaces.

use crate::{Result, check};
use std::fmt;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A set of namespace types (`CLONE_NEW…`).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceFlags(u64);

impl NamespaceFlags {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// Mounts.
    pub const MOUNT: Self = Self(0x0002_0000);
    /// Cgroup root.
    pub const CGROUP: Self = Self(0x0200_0000);
    /// Host and domain name.
    pub const UTS: Self = Self(0x0400_0000);
    /// System V and POSIX message queues.
    pub const IPC: Self = Self(0x0800_0000);
    /// Users and capabilities.
    pub const USER: Self = Self(0x1000_0000);
    /// Process ids.
    pub const PID: Self = Self(0x2000_0000);
    /// Network.
    pub const NETWORK: Self = Self(0x4000_0000);
    /// Clock offsets.
    pub const TIME: Self = Self(0x80);

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for NamespaceFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for NamespaceFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for NamespaceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamespaceFlags({:#x})", self.0)
    }
}

/// Joins the namespace behind `descriptor`, which must be of one of the types in `flags`; with a
/// pidfd, that process' namespaces of all types in `flags`.
///
/// <https://man7.org/linux/man-pages/man2/setns.2.html>
///
/// # Errors
/// The kernel's.
pub fn setns(descriptor: BorrowedFd<'_>, flags: NamespaceFlags) -> Result<()> {
    let bits = libc::c_int::try_from(flags.bits()).unwrap_or(0);
    // SAFETY: setns takes a descriptor and flags; what it changes (cwd, root, credentials) is
    // nothing that memory safety rests on.
    check(libc::c_long::from(unsafe { libc::setns(descriptor.as_raw_fd(), bits) })).map(drop)
}

/// Leaves for new namespaces.
///
/// <https://man7.org/linux/man-pages/man2/unshare.2.html>
///
/// # Errors
/// The kernel's.
pub fn unshare(flags: NamespaceFlags) -> Result<()> {
    let bits = libc::c_int::try_from(flags.bits()).unwrap_or(0);
    // SAFETY: only CLONE_NEW… bits exist in NamespaceFlags, so no descriptor table is unshared,
    // which is what could invalidate owned descriptors of other threads.
    check(libc::c_long::from(unsafe { libc::unshare(bits) })).map(drop)
}

/// A type of namespace that a pidfd can be asked for (linux/pidfd.h, Linux 6.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PidfdNamespace {
    /// Cgroup root.
    Cgroup = 1,
    /// System V and POSIX message queues.
    Ipc = 2,
    /// Mounts.
    Mount = 3,
    /// Network.
    Network = 4,
    /// Process ids.
    Pid = 5,
    /// Clock offsets.
    Time = 7,
    /// Users and capabilities.
    User = 9,
    /// Host and domain name.
    Uts = 10,
}

/// A descriptor of a process' namespace.
///
/// # Errors
/// The kernel's; `ENOTTY` before Linux 6.11.
pub fn namespace_of(pidfd: BorrowedFd<'_>, kind: PidfdNamespace) -> Result<OwnedFd> {
    let request = libc::_IO(0xFF, kind as u32);
    // SAFETY: these ioctls take no argument and return a new descriptor.
    let descriptor =
        check(unsafe { libc::syscall(libc::SYS_ioctl, pidfd.as_raw_fd(), request, 0) })?;
    // SAFETY: the kernel just made this descriptor for the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(descriptor).unwrap_or(-1)) })
}
