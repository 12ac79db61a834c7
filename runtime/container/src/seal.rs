//! Keeping the runtime's own program file out of containers' reach.
//!
//! A process that joins a container can be looked at from inside, and a container's program can
//! itself be `/proc/self/exe`: either way a hostile container may get hold of the host's program
//! file (CVE-2019-5736). It then must not be writable by that way. So a program that joins
//! containers runs from a read-only mount of its file that exists in no mount namespace, or, where
//! the kernel does not let it make one, from a sealed copy in memory.
//!
//! Closing the last descriptor of such a mount waits for an RCU grace period. So it stays open over
//! the exec, and is closed ([`release`]) at a time when this process waits for another anyway.

use crate::error::{Error, refused};
use kernel_sys::mount::{Change, attribute, mount_setattr};
use rustix::fs::{
    CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals,
    memfd_create, sendfile, statvfs,
};
use rustix::mount::{OpenTreeFlags, open_tree};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::Mutex;

const OWN: &str = "/proc/self/exe";

/// The mount that this process runs from, until it is released.
static MOUNT: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Closes the descriptor of the mount. A clone does so at once, its parent while it waits for the
/// clone: so the parent's is the last, and its cost is nobody's.
pub(crate) fn release() {
    drop(MOUNT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
}

/// The descriptor of the mount, for a caller that closes descriptors in a forked child: this one
/// is still owned there.
#[must_use]
pub fn sealed_descriptor() -> Option<RawFd> {
    let mount = MOUNT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    mount.as_ref().map(AsRawFd::as_raw_fd)
}

/// Whether this process runs from a file that nobody can write to through it.
#[must_use]
pub fn is_sealed() -> bool {
    statvfs(OWN).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
        || rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(fcntl_get_seals)
            .is_ok_and(|seals| seals.contains(SealFlags::WRITE))
}

/// Executes the same program again from a read-only mount or a sealed copy of its file, with the
/// same arguments and environment; does nothing where it runs from one already.
///
/// # Errors
/// The kernel refuses both.
pub fn seal() -> Result<(), Error> {
    if is_sealed() {
        if let Some(mount) = kernel_sys::executed_descriptor() {
            let _ = rustix::io::fcntl_setfd(&mount, rustix::io::FdFlags::CLOEXEC);
            *MOUNT.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(mount);
        }
        return Ok(());
    }
    let file = mounted().or_else(|_| copied()).map_err(refused("copy own program"))?;
    let args = strings(std::env::args_os().map(OsStringExt::into_vec));
    let env = strings(std::env::vars_os().map(|(name, value)| {
        let mut variable = name.into_vec();
        variable.push(b'=');
        variable.extend(value.into_vec());
        variable
    }));
    let Err(errno) = kernel_sys::execute_descriptor(file.as_fd(), &args, &env);
    Err(refused("execute own program again")(errno))
}

/// A read-only mount of the program's file.
fn mounted() -> rustix::io::Result<OwnedFd> {
    let file = open_tree(CWD, OWN, OpenTreeFlags::OPEN_TREE_CLONE)?;
    let change = Change { set: attribute::RDONLY, ..Change::default() };
    mount_setattr(file.as_fd(), c"", false, change, None)?;
    Ok(file)
}

/// A copy of the program's file that nobody can change any more.
fn copied() -> rustix::io::Result<OwnedFd> {
    /// `MFD_EXEC`: it is to be executed (Linux 6.3).
    const EXECUTABLE: MemfdFlags = MemfdFlags::from_bits_retain(0x10);
    let create = |more| memfd_create("gantry", MemfdFlags::ALLOW_SEALING | more);
    let copy = create(EXECUTABLE).or_else(|_| create(MemfdFlags::empty()))?;
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    while sendfile(&copy, &own, None, 1 << 30)? > 0 {}
    fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(copy)
}

/// What the kernel handed over once can be handed back: it has no NUL inside.
fn strings(from: impl Iterator<Item = Vec<u8>>) -> Vec<CString> {
    from.filter_map(|bytes| CString::new(bytes).ok()).collect()
}
