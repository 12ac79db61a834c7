//! Leaving the current program: `execve(2)`, `_exit(2)`, and what descends.

use crate::{Result, check, last_errno};
use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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

/// The descriptor that this program was executed from by [`execute_descriptor`], if it was and if
/// it was open over the exec. To be called once, before descriptors are opened.
#[must_use]
pub fn executed_descriptor() -> Option<OwnedFd> {
    // SAFETY: AT_EXECFN is the address of a NUL-terminated string at the bottom of the stack,
    // which lives as long as the process; 0 when the kernel gave none.
    let name = unsafe {
        let address = libc::getauxval(libc::AT_EXECFN) as *const c_char;
        if address.is_null() {
            return None;
        }
        CStr::from_ptr(address)
    };
    let number = name.to_str().ok()?.strip_prefix("/dev/fd/")?.parse::<i32>().ok()?;
    // SAFETY: a descriptor number is asked about; nothing is owned yet.
    let is_open = unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
    // SAFETY: it came over the exec under this very number, so nothing in this process owns it.
    is_open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
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

/// Whether a descriptor is open and stays so over an exec, as those that a caller passed on are and
/// those that a Rust program opened are not.
#[must_use]
pub fn is_inherited(number: u32) -> bool {
    let Ok(number) = i32::try_from(number) else { return false };
    // SAFETY: a descriptor number is asked about.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// The strings' addresses, then a null pointer.
fn null_terminated(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}
