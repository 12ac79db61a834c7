//! System calls: the only crate with unsafe code.
//!
//! What `rustix` has safely is used from there; here is what it lacks or marks unsafe. One
//! function a system call, owned or borrowed descriptors in and out, `EINTR` retried where the
//! call may be. A function returns the bare [`Errno`]; the caller's error enum says which step it
//! was and what it acted on.
//!
//! - [`clone3`], [`clone_sibling`], [`fork`], [`execve`], [`exit_now`]: processes.
//! - [`close_all_but`] closes what a forked child must not keep.
//! - [`setns`], [`unshare`], [`namespace_of`]: namespaces.
//! - [`mount`]: the calls that make and change mounts by descriptor.
//! - [`overlay`]: overlay mounts for kernels before 6.8.
//! - [`message`]: datagrams with descriptors between parent and child.
//! - [`datagram`]: IPv6 datagrams with the address that they were sent to.
//! - [`Arena`] is an allocator for programs that soon end.
//! - [`seccomp`], [`network`], [`keyring`], [`scheduling`], [`bpf`], [`signals`]: one facility each.

#![expect(unsafe_code, reason = "this crate is where unsafe code lives")]

mod arena;
pub mod bpf;
mod clone;
pub mod datagram;
mod descriptors;
#[cfg(target_arch = "x86_64")]
mod early_seal;
mod execute;
pub mod keyring;
pub mod memory;
pub mod message;
pub mod mount;
mod namespaces;
pub mod network;
#[cfg(all(target_env = "gnu", any(test, all(target_feature = "crt-static", panic = "abort"))))]
mod omitted;
pub mod overlay;
pub mod scheduling;
pub mod seccomp;
pub mod signals;
#[cfg(all(gantry_own_start, target_arch = "x86_64"))]
mod start;

pub use arena::Arena;
pub use clone::{CloneFlags, Cloned, clone_sibling, clone3, fork};
pub use descriptors::close_all_but;
pub use execute::{
    close_on_exec_from, execute_descriptor, executed_descriptor, execve, exit_now, is_inherited,
};
pub use namespaces::{NamespaceFlags, PidfdNamespace, namespace_of, setns, unshare};
pub use rustix::io::Errno;

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns a raw return value into a result.
fn check(value: libc::c_long) -> Result<libc::c_long> {
    if value < 0 { Err(last_errno()) } else { Ok(value) }
}

/// The calling thread's `errno`.
fn last_errno() -> Errno {
    let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Errno::from_raw_os_error(code)
}
