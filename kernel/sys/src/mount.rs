//! `mount_setattr(2)`; the other descriptor-based mount calls are `rustix::mount`'s.

use crate::{Result, check};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Attributes of a mount (`MOUNT_ATTR_…`, linux/mount.h).
pub mod attribute {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// No set-user-id programs.
    pub const NOSUID: u64 = 0x2;
    /// No device files.
    pub const NODEV: u64 = 0x4;
    /// No programs.
    pub const NOEXEC: u64 = 0x8;
    /// The bits that say how access times are kept.
    pub const ATIME_MASK: u64 = 0x70;
    /// Access times kept if older than the modification (all atime bits zero).
    pub const RELATIME: u64 = 0x0;
    /// No access times.
    pub const NOATIME: u64 = 0x10;
    /// Access times always kept.
    pub const STRICTATIME: u64 = 0x20;
    /// No access times of folders.
    pub const NODIRATIME: u64 = 0x80;
    /// Ids are mapped by a user namespace.
    pub const IDMAP: u64 = 0x0010_0000;
    /// Symbolic links are not followed.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// A change of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// Propagation type (`MS_PRIVATE` and so on), or 0 for as it is.
    pub propagation: u64,
}

impl Change {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Changes the mount at `path` below `directory` (an empty path: the mount behind the descriptor
/// itself), with `recursive` all mounts below it too. `idmap` is the user namespace for
/// [`attribute::IDMAP`].
///
/// <https://man7.org/linux/man-pages/man2/mount_setattr.2.html>
///
/// # Errors
/// The kernel's.
pub fn mount_setattr(
    directory: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    change: Change,
    idmap: Option<BorrowedFd<'_>>,
) -> Result<()> {
    /// `struct mount_attr` (linux/mount.h).
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    const SYS_MOUNT_SETATTR: libc::c_long = 442;
    const AT_RECURSIVE: libc::c_int = 0x8000;

    let attributes = Attributes {
        set: change.set,
        clear: change.clear,
        propagation: change.propagation,
        user_namespace: idmap.map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(u64::MAX)),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `path` is NUL-terminated, `attributes` outlives the call and its size is passed.
    check(unsafe {
        libc::syscall(
            SYS_MOUNT_SETATTR,
            directory.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    })
    .map(drop)
}
