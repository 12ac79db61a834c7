//! `start`: letting a created container's init go on.

use crate::create::socket_address;
use crate::error::{Error, refused};
use crate::handshake::receive_start_result;
use crate::hooks;
use crate::init::GO;
use crate::store::{Folder, Record};
use contracts_runtime_api::Status;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Starts a container; returns when its program runs.
pub(crate) fn start(root: &Path, id: &str) -> Result<(), Error> {
    let (folder, record) = Folder::find(root, id)?;
    let socket = let_go(&folder, &record)?;
    receive_start_result(&socket)?;
    if !record.poststart.is_empty() {
        hooks::run("poststart", &record.poststart, &folder.state(&record))?;
    }
    Ok(())
}

/// The first half of [`start`].
pub(crate) fn release(root: &Path, id: &str) -> Result<OwnedFd, Error> {
    let (folder, record) = Folder::find(root, id)?;
    let_go(&folder, &record)
}

/// The second half, without hooks.
pub(crate) fn start_result(socket: impl AsFd) -> Result<(), Error> {
    receive_start_result(socket)
}

/// Tells init to go on; it answers on the socket.
///
/// The socket's name is removed between connecting and saying go: who sees the name knows that the
/// container is not started, and if this process dies in between, init reads the end of the
/// connection and gives up.
fn let_go(folder: &Folder, record: &Record) -> Result<OwnedFd, Error> {
    let (address, _open) = socket_address(folder)?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(refused("make a socket"))?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Err(Error::NotCreated(folder.status(record))),
        Err(Errno::CONNREFUSED) => return Err(Error::NotCreated(Status::Stopped)),
        Err(errno) => return Err(refused("reach the container's init")(errno)),
    }
    match rustix::fs::unlink(folder.start_socket()) {
        Ok(()) => {}
        // Somebody else starts it at the same time.
        Err(Errno::NOENT) => return Err(Error::NotCreated(Status::Running)),
        Err(errno) => return Err(refused("remove the start socket")(errno)),
    }
    kernel_sys::message::send(&socket, GO, &[]).map_err(|_| Error::NotCreated(Status::Stopped))?;
    Ok(socket)
}
