//! `bpf(2)`: device programs of cgroup v2.

use crate::{Result, check};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// One instruction of extended BPF (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low, source register in the high four bits.
    pub registers: u8,
    /// Offset.
    pub offset: i16,
    /// Immediate value.
    pub immediate: i32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// Flag of [`attach_device`]: several programs, all of which must allow.
const ALLOW_MULTI: u32 = 2;

/// Loads a program that decides about device access.
///
/// <https://man7.org/linux/man-pages/man2/bpf.2.html>
///
/// # Errors
/// The kernel's.
pub fn load_device(program: &[Instruction]) -> Result<OwnedFd> {
    /// The head of `union bpf_attr` for `BPF_PROG_LOAD`.
    #[repr(C)]
    struct Load {
        program_type: u32,
        instruction_count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buffer: u64,
        kernel_version: u32,
        flags: u32,
    }
    let load = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).unwrap_or(u32::MAX),
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the pointers outlive the call; the size passed is the structure's.
    let descriptor = check(unsafe {
        libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>())
    })?;
    // SAFETY: the kernel returned a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(descriptor).unwrap_or(-1)) })
}

/// Attaches a device program to a cgroup, beside those that are there.
///
/// # Errors
/// The kernel's.
pub fn attach_device(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    /// The head of `union bpf_attr` for `BPF_PROG_ATTACH`.
    #[repr(C)]
    struct Attach {
        target: i32,
        program: i32,
        attach_type: u32,
        flags: u32,
    }
    let attach = Attach {
        target: cgroup.as_raw_fd(),
        program: program.as_raw_fd(),
        attach_type: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the structure outlives the call; its size is passed.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attach, size_of::<Attach>())
    })
    .map(drop)
}
