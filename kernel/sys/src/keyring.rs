//! `keyctl(2)`: the session keyring.

use crate::{Result, check};
use std::ffi::CStr;

const JOIN_SESSION_KEYRING: libc::c_int = 1;
const SETPERM: libc::c_int = 5;

/// Joins a session keyring of this name, making it if need be; its serial number.
///
/// <https://man7.org/linux/man-pages/man2/keyctl.2.html>
///
/// # Errors
/// The kernel's; `ENOSYS` where it has no key retention.
pub fn join_session(name: &CStr) -> Result<i32> {
    // SAFETY: the name is NUL-terminated and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) })
        .map(|serial| i32::try_from(serial).unwrap_or(0))
}

/// Sets a key's permission bits.
///
/// # Errors
/// The kernel's.
pub fn set_permissions(serial: i32, permissions: u32) -> Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, serial, permissions) }).map(drop)
}
