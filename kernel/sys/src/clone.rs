//! `clone3(2)`.

use crate::{Result, check};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Which namespaces the child gets anew.
pub use crate::namespaces::NamespaceFlags as CloneFlags;

/// Who returns from [`clone3`].
#[derive(Debug)]
pub enum Cloned {
    /// The caller.
    Parent {
        /// The child, in the caller's pid namespace.
        pid: i32,
        /// The child.
        pidfd: OwnedFd,
    },
    /// The child.
    Child,
}

/// Forks into new namespaces; on cgroup v2 straight into `cgroup`.
///
/// The child is a copy of the caller, as after `fork(2)`, with all caught signals at their
/// defaults. The caller must be single-threaded: the child goes on allocating, and a lock that
/// another thread held would stay held.
///
/// <https://man7.org/linux/man-pages/man2/clone.2.html>
///
/// # Errors
/// The kernel's.
pub fn clone3(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    clone_as(flags, cgroup, libc::SIGCHLD as u64, 0)
}

/// As [`clone3`], but the child is the caller's sibling: its parent is the caller's.
///
/// # Errors
/// The kernel's; `EINVAL` for the first process of a pid namespace.
pub fn clone_sibling(flags: CloneFlags) -> Result<Cloned> {
    const CLONE_PARENT: u64 = 0x8000;
    // The signal at its end is then the caller's own.
    clone_as(flags, None, 0, CLONE_PARENT)
}

fn clone_as(
    flags: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    exit_signal: u64,
    parentage: u64,
) -> Result<Cloned> {
    /// `struct clone_args`, version 2 (linux/sched.h).
    #[repr(C, align(8))]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    const CLONE_PIDFD: u64 = 0x1000;
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

    let mut pidfd: libc::c_int = -1;
    let mut arguments = Arguments {
        flags: flags.bits() | parentage | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal,
        ..Arguments::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(u64::MAX);
    }
    // SAFETY: without CLONE_VM the child has its own copy of the address space and a stack of
    // zero means the caller's, so this returns twice like fork; `arguments` and `pidfd` live
    // across the call, and the size passed is the structure's own.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<Arguments>())
    })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: CLONE_PIDFD made the kernel store a new descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { pid: i32::try_from(pid).unwrap_or(i32::MAX), pidfd })
}

/// Forks; the child gets `None`, the caller the child's pid. For where [`clone3`] is not allowed:
/// Docker's system call filter denies it.
///
/// As for [`clone3`], the caller must be single-threaded.
///
/// <https://man7.org/linux/man-pages/man2/fork.2.html>
///
/// # Errors
/// The kernel's.
pub fn fork() -> Result<Option<i32>> {
    // SAFETY: fork has no preconditions; that only one thread runs is the caller's promise, see
    // above.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok((pid != 0).then(|| i32::try_from(pid).unwrap_or(i32::MAX)))
}
