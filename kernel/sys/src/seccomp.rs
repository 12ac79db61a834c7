//! `seccomp(2)`.

use crate::{Errno, Result, check};
use std::os::fd::{FromRawFd, OwnedFd};

/// One instruction of classic BPF (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of struct sock_filter")]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// The kernel's limit of a program's length (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;
/// Flag: a descriptor for notifications is made.
pub const FLAG_NEW_LISTENER: u32 = 1 << 3;

/// Installs a filter on the calling thread; with [`FLAG_NEW_LISTENER`] the notification
/// descriptor.
///
/// <https://man7.org/linux/man-pages/man2/seccomp.2.html>
///
/// # Errors
/// The kernel's; `EINVAL` for a program that is empty or too long.
pub fn install(program: &[Instruction], flags: u32) -> Result<Option<OwnedFd>> {
    /// `struct sock_fprog`.
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const Instruction,
    }
    if program.is_empty() || program.len() > MAX_INSTRUCTIONS {
        return Err(Errno::INVAL);
    }
    let raw = Program {
        length: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr(),
    };
    // SAFETY: `raw` points at `length` instructions of the kernel's layout, which the kernel
    // copies and verifies before it returns.
    let value = check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const raw)
    })?;
    if flags & FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with that flag the kernel returns a new descriptor.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(i32::try_from(value).unwrap_or(-1)) }))
}
