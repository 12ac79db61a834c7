//! `start`: letting a created container's init go on.

use crate::error::{Error, refused};
use crate::handshake::{Report, hear};
use crate::init::GO;
use crate::launch::{died, socket_address};
use crate::store::{Folder, Record, START_SOCKET};
use crate::{hooks, lifecycle};
use base_faults::{Step, reach, step};
use contracts_runtime_api::Status;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const CONNECTED: &Step = step("runtime.start.connected");
const SOCKET_REMOVED: &Step = step("runtime.start.socket-removed");
const TOLD_GO: &Step = step("runtime.start.told-go");
const EXECUTED: &Step = step("runtime.start.executed");

/// Starts a container; returns when its program runs.
pub(crate) fn start(root: &Path, id: &str) -> Result<(), Error> {
    let (folder, record) = Folder::find(root, id)?;
    let socket = let_go(&folder, &record)?;
    see_off(&socket, &folder, &record)?;
    reach(EXECUTED);
    run_poststart(&folder, &record).inspect_err(|_| {
        // The specification: stop the container. That it has ended by itself is no failure.
        let _ = lifecycle::kill(root, id, 9, false);
    })
}

/// The hooks of a container whose program runs.
pub(crate) fn run_poststart(folder: &Folder, record: &Record) -> Result<(), Error> {
    if record.poststart.is_empty() {
        return Ok(());
    }
    // The start is over, though its maker may not be done yet.
    let status = match folder.status(record) {
        Status::Creating => Status::Stopped,
        status => status,
    };
    hooks::run("poststart", &record.poststart, &folder.state_as(record, status))
}

/// Hears a process out that is being started: nothing more once its program runs.
pub(crate) fn see_off(socket: impl AsFd, folder: &Folder, record: &Record) -> Result<(), Error> {
    loop {
        match hear(&socket)? {
            Report::Failed { message, kind } => return Err(Error::Init { message, kind }),
            Report::Listener(number) => {
                let listener = record.listener.as_ref().ok_or_else(no_listener)?;
                let init = lifecycle::open(record)?.ok_or(Error::NotRunning)?;
                let state = folder.state(record);
                listener.serve(socket.as_fd(), init.as_fd(), record.pid, number, &state)?;
            }
            // The connection is closed by exec, and by a death before it, which comes to its end then.
            Report::Died if record.ends_before_its_program() => return Err(died()),
            Report::Hooks | Report::Ready(_) | Report::Cloned(..) | Report::Died => return Ok(()),
        }
    }
}

/// A filter that notifies is compiled only together with its listener's path.
pub(crate) fn no_listener() -> Error {
    Error::Configuration("seccomp listenerPath is not set".to_owned())
}

/// The first half of [`start`].
pub(crate) fn release(root: &Path, id: &str) -> Result<OwnedFd, Error> {
    let (folder, record) = Folder::find(root, id)?;
    let_go(&folder, &record)
}

/// The second half, without hooks and without a listener.
pub(crate) fn start_result(socket: impl AsFd) -> Result<(), Error> {
    match hear(socket)? {
        Report::Failed { message, kind } => Err(Error::Init { message, kind }),
        // It ends when the socket is closed.
        Report::Listener(_) => Err(no_listener()),
        Report::Hooks | Report::Ready(_) | Report::Cloned(..) | Report::Died => Ok(()),
    }
}

/// Tells init to go on; it answers on the socket.
///
/// The socket's name is removed between connecting and saying go: who sees the name knows that the
/// container is not started, and if this process dies in between, init reads the end of the
/// connection and gives up.
fn let_go(folder: &Folder, record: &Record) -> Result<OwnedFd, Error> {
    if record.cgroup().is_frozen() {
        // Its init could not answer, and would go on by itself when it is thawed.
        return Err(Error::NotCreated(Status::Paused));
    }
    let (address, _open) = socket_address(folder, START_SOCKET)?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(refused("make a socket"))?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Err(Error::NotCreated(folder.status(record))),
        Err(Errno::CONNREFUSED) => return Err(Error::NotCreated(Status::Stopped)),
        Err(errno) => return Err(refused("reach the container's init")(errno)),
    }
    reach(CONNECTED);
    match rustix::fs::unlink(folder.start_socket()) {
        Ok(()) => {}
        // Somebody else starts it at the same time.
        Err(Errno::NOENT) => return Err(Error::NotCreated(Status::Running)),
        Err(errno) => return Err(refused("remove the start socket")(errno)),
    }
    reach(SOCKET_REMOVED);
    kernel_sys::message::send(&socket, GO, &[]).map_err(|_| Error::NotCreated(Status::Stopped))?;
    reach(TOLD_GO);
    Ok(socket)
}
