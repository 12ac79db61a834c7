//! Leaving the current program: `execve(2)`, `_exit(2)`, and what descends.

use crate::{Result, check, last_errno};
use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Replaces the program; returns only when that failed.
///
/// <https://man7.org/linux/man-pages/man2/execve.2.html>
///
/// # Errors
/// The kernel's.
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> Result<Infallible> {
    let (argv, envp) = (null_terminated(args), null_terminated(env));
    // SAFETY: path and every element are NUL-terminated strings that outlive the call, and both
    // vectors end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(last_errno())
}

/// Executes the file behind a descriptor (`execveat(2)` with `AT_EMPTY_PATH`); returns only when
/// that failed.
///
/// # Errors
/// The kernel's.
pub fn execute_descriptor(
    file: BorrowedFd<'_>,
    args: &[CString],
    env: &[CString],
) -> Result<Infallible> {
    let (argv, envp) = (null_terminated(args), null_terminated(env));
    // SAFETY: as for execve above; the empty path with AT_EMPTY_PATH names the descriptor.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(last_errno())
}

/// Ends the process at once: no destructors, no exit handlers, no flushing.
///
/// <https://man7.org/linux/man-pages/man2/_exit.2.html>
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Marks every descriptor from `first` on close-on-exec.
///
/// <https://man7.org/linux/man-pages/man2/close_range.2.html>
///
/// # Errors
/// The kernel's.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: close_range takes integers only; CLOSE_RANGE_CLOEXEC closes nothing that Rust owns.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// The strings' addresses, then a null pointer.
fn null_terminated(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}
