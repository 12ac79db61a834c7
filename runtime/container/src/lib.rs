//! Containers: create, start, exec, kill, delete, state.
//!
//! The library that `gantry-runtime` and the shim link. It does what runtime-spec calls the
//! runtime's operations, synchronously, and keeps no process of its own: a container's truth is
//! the kernel plus `<root>/<id>/state.json`. It reads no argv, writes no log, and waits for no
//! container; who reaps init is the caller (or the subreaper above it).
//!
//! Entry points: [`create`], [`start`], [`exec`], [`kill`], [`delete`], [`state`], [`processes`],
//! [`pause`], [`resume`], [`update`], [`stats`], [`watch`](watch()), [`checkpoint`], [`restore`].
//!
//! Invariants:
//! - the caller is single-threaded (a cloned child goes on with this code, without exec);
//! - nothing on the host but the state folder and the cgroups changes: every mount is made in the
//!   container's own mount namespace;
//! - a failed `create` leaves nothing behind.

#![forbid(unsafe_code)]

mod checkpoint;
mod confinement;
mod create;
mod criu;
mod error;
mod exec;
mod handshake;
mod hooks;
mod init;
mod launch;
mod lifecycle;
mod listener;
mod namespaces;
mod netdevices;
mod program;
mod request;
mod restore;
mod rootless;
mod seal;
mod sockets;
mod start;
mod store;
mod user_namespace;
mod watch;

pub use checkpoint::CheckpointRequest;
pub use contracts_runtime_api::{State, Stats, Status};
pub use criu::{CgroupsMode, CriuOptions};
pub use error::{Error, io_reason};
pub use exec::Container;
pub use request::{
    CreateOptions, CreateRequest, Created, ExecOptions, ExecRequest, Executed, RootfsMount, Stdio,
    memory_warning,
};
pub use restore::RestoreRequest;
pub use runtime_cgroups::Below;
pub use seal::{is_sealed, seal, sealed_descriptor};
pub use user_namespace::is_without_return;
pub use watch::{Happening, Watch};

use base_oci::runtime::Resources;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Makes a container: namespaces, mounts, limits. Its init waits for [`start`].
///
/// # Errors
/// The first step that failed; everything done before is undone.
pub fn create(request: CreateRequest<'_>) -> Result<Created, Error> {
    create::create(request)
}

/// Makes a container whose init goes on to its program as soon as it can: [`create`] and [`start`]
/// without the wait between them. Hooks run in the same order; it is never `created`.
///
/// # Errors
/// The first step that failed, the program's execution among them; everything done before is
/// undone.
pub fn run(request: CreateRequest<'_>) -> Result<Created, Error> {
    create::run(request)
}

/// Lets a created container's init go on to the program.
///
/// # Errors
/// There is no such container, or it is not in the state `created`.
pub fn start(root: &Path, id: &str) -> Result<(), Error> {
    start::start(root, id)
}

/// [`start`] for a caller that may not wait, and of a container without poststart hooks and without
/// a seccomp listener: lets init go on, and gives the socket that is ready to be read when [`start_result`] can tell what became
/// of it.
///
/// # Errors
/// There is no such container, or it is not in the state `created`.
pub fn release(root: &Path, id: &str) -> Result<OwnedFd, Error> {
    start::release(root, id)
}

/// What became of an init that was [released](release); waits until that is known.
///
/// # Errors
/// The program cannot be run.
pub fn start_result(socket: impl AsFd) -> Result<(), Error> {
    start::start_result(socket)
}

/// Runs a further process in a container.
///
/// # Errors
/// The container is not running, or the process cannot be started.
pub fn exec(request: ExecRequest) -> Result<Executed, Error> {
    exec::exec(request)
}

/// Sends a signal to a container's init, or with `all` to each of its processes.
///
/// # Errors
/// There is no such container, or it has ended.
pub fn kill(root: &Path, id: &str, signal: i32, all: bool) -> Result<(), Error> {
    lifecycle::kill(root, id, signal, all)
}

/// Removes what `create` made; with `force` kills the container first. What is returned are failures of
/// poststop hooks, which the specification wants to be warned of.
///
/// # Errors
/// The container still runs, or a resource cannot be removed.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<Vec<Error>, Error> {
    lifecycle::delete(root, id, force)
}

/// What a container is doing.
///
/// # Errors
/// There is no such container.
pub fn state(root: &Path, id: &str) -> Result<State, Error> {
    lifecycle::state(root, id)
}

/// The processes of a container, as the host numbers them.
///
/// # Errors
/// There is no such container.
pub fn processes(root: &Path, id: &str) -> Result<Vec<i32>, Error> {
    lifecycle::processes(root, id)
}

/// Writes a container down with CRIU; it has ended and is removed afterwards, unless it is to run on.
///
/// # Errors
/// It is not running, CRIU is missing, or CRIU fails: the container then runs on.
pub fn checkpoint(request: &CheckpointRequest<'_>) -> Result<(), Error> {
    checkpoint::checkpoint(request)
}

/// Makes a container of what [`checkpoint`] wrote; it runs at once.
///
/// # Errors
/// The first step that failed; everything done before is undone.
pub fn restore(request: RestoreRequest<'_>) -> Result<Created, Error> {
    restore::restore(request)
}

/// Freezes a container.
///
/// # Errors
/// It is not running, or the kernel has no freezer for it.
pub fn pause(root: &Path, id: &str) -> Result<(), Error> {
    lifecycle::pause(root, id)
}

/// Thaws a container.
///
/// # Errors
/// It is not paused.
pub fn resume(root: &Path, id: &str) -> Result<(), Error> {
    lifecycle::resume(root, id)
}

/// Changes a container's limits; those left out stay, and so do its devices.
///
/// # Errors
/// It has ended, or the kernel refuses a limit.
pub fn update(root: &Path, id: &str, resources: &Resources) -> Result<(), Error> {
    lifecycle::update(root, id, resources)
}

/// Changes lines of a container's resctrl schemata.
///
/// # Errors
/// It has ended, has no group there, or the kernel refuses a line.
pub fn update_schemata(root: &Path, id: &str, lines: &[&str]) -> Result<(), Error> {
    lifecycle::update_schemata(root, id, lines)
}

/// What a container uses.
///
/// # Errors
/// It has ended.
pub fn stats(root: &Path, id: &str) -> Result<Stats, Error> {
    lifecycle::stats(root, id)
}

/// Watches a container.
///
/// # Errors
/// It has ended.
pub fn watch(root: &Path, id: &str) -> Result<Watch, Error> {
    Watch::new(root, id)
}

/// Parsers of what others write, for `fuzz/` only.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// State and start time of a `/proc/<pid>/stat`.
    #[must_use]
    pub fn stat(text: &str) -> Option<(u8, u64)> {
        crate::store::parse_stat(text).map(|stat| (stat.state, stat.start_time))
    }

    /// The home of a user in a container's `/etc/passwd`.
    #[must_use]
    pub fn home(passwd: &str, uid: u32) -> Option<String> {
        crate::program::home_in(passwd, uid)
    }
}
