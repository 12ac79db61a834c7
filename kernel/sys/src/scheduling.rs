//! Scheduling policy, I/O priority, memory policy, execution domain.

use crate::{Result, check};

/// What `sched_setattr(2)` sets for the calling thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of struct sched_attr")]
pub struct Attributes {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// Sets the calling thread's scheduling.
///
/// <https://man7.org/linux/man-pages/man2/sched_setattr.2.html>
///
/// # Errors
/// The kernel's.
pub fn sched_setattr(attributes: Attributes) -> Result<()> {
    /// `struct sched_attr`, first version.
    #[repr(C)]
    struct Raw {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let raw = Raw {
        size: u32::try_from(size_of::<Raw>()).unwrap_or(48),
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: attributes.runtime,
        deadline: attributes.deadline,
        period: attributes.period,
    };
    // SAFETY: `raw` outlives the call and carries its own size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const raw, 0) }).map(drop)
}

/// Sets the calling process' I/O priority.
///
/// <https://man7.org/linux/man-pages/man2/ioprio_set.2.html>
///
/// # Errors
/// The kernel's.
pub fn ioprio_set(class: i32, priority: i32) -> Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, class << 13 | priority) })
        .map(drop)
}

/// Sets the calling thread's memory policy; `nodes` is a bit mask.
///
/// <https://man7.org/linux/man-pages/man2/set_mempolicy.2.html>
///
/// # Errors
/// The kernel's.
pub fn set_mempolicy(mode: i32, nodes: &[u64]) -> Result<()> {
    let bits = nodes.len() * 64;
    // One more than the bits given: the kernel takes `maxnode - 1` bits, of 0 the largest number.
    let maxnode = bits + 1;
    // SAFETY: the mask holds at least the bits that the count names.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, nodes.as_ptr(), maxnode) })
        .map(drop)
}

/// Sets the calling process' execution domain.
///
/// <https://man7.org/linux/man-pages/man2/personality.2.html>
///
/// # Errors
/// The kernel's.
pub fn personality(domain: u32) -> Result<()> {
    // SAFETY: an integer only.
    check(libc::c_long::from(unsafe { libc::personality(libc::c_ulong::from(domain)) })).map(drop)
}
