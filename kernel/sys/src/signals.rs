//! Signal dispositions and masks.

use crate::{Result, check};

/// Puts every signal at its default and unblocks all, so that a new program starts as from a
/// shell: Rust's start-up ignores SIGPIPE, and callers block signals that they wait for.
pub fn reset() {
    // Signals 32 and 33 are the C library's own and are refused by it; errors are of no account
    // (SIGKILL and SIGSTOP cannot be set).
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no handler code.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero sigset_t is a valid set, which sigemptyset then initialises; the mask
    // of a single-threaded process is changed.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Blocks all signals and gives a descriptor (`signalfd(2)`) from which they are read.
///
/// # Errors
/// The kernel's.
pub fn take_all() -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the set is initialised by sigfillset before use.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
        let descriptor =
            check(libc::c_long::from(libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC)))?;
        Ok(std::os::fd::OwnedFd::from_raw_fd(i32::try_from(descriptor).unwrap_or(-1)))
    }
}

/// Reads one signal's number from such a descriptor; waits for it.
///
/// # Errors
/// The kernel's.
pub fn next(descriptor: impl std::os::fd::AsFd) -> Result<i32> {
    // struct signalfd_siginfo, of which the first field is the number.
    let mut record = [0_u8; 128];
    rustix::io::retry_on_intr(|| rustix::io::read(&descriptor, &mut record))?;
    Ok(i32::from_ne_bytes([record[0], record[1], record[2], record[3]]))
}

/// Sends a signal, given by number, to the process behind a pidfd.
///
/// <https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html>
///
/// # Errors
/// The kernel's; `ESRCH` when it has ended.
pub fn send(pidfd: std::os::fd::BorrowedFd<'_>, signal: i32) -> Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: a null siginfo is allowed; the rest are integers.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}
