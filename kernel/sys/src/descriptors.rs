//! `close_range(2)`.

use crate::{Result, check};
use std::os::fd::RawFd;

/// Closes every descriptor from 3 on but those in `keep`.
///
/// For a forked child that goes on only with what is in `keep` and ends with
/// [`exit_now`](crate::exit_now) or [`execve`](crate::execve): values that own one of the others
/// must not be used or dropped any more.
///
/// <https://man7.org/linux/man-pages/man2/close_range.2.html>
///
/// # Errors
/// The kernel's.
pub fn close_all_but(keep: &[RawFd]) -> Result<()> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep.into_iter().filter(|fd| *fd >= 3) {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = first.max(fd + 1);
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: close_range takes integers only; that nobody uses the closed descriptors is the
    // caller's promise, see above.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}
