//! Handing descriptors to the sockets that the caller named.

use crate::error::{Error, refused};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Sends the terminal's master to a console socket, if there is one (runc's protocol: one message
/// with the terminal's name and the descriptor); else it is the caller's.
pub(crate) fn hand_over_console(
    console: Option<OwnedFd>,
    socket: Option<&Path>,
) -> Result<Option<OwnedFd>, Error> {
    let (Some(master), Some(path)) = (&console, socket) else { return Ok(console) };
    send(path, b"/dev/ptmx", master.as_fd())
        .map_err(refused(format!("send the terminal to {}", path.display())))?;
    Ok(None)
}

/// Sends the process to a pidfd socket, if there is one; `what` is runc's word for the sort of
/// process.
pub(crate) fn hand_over_process(
    process: BorrowedFd<'_>,
    what: &str,
    socket: Option<&Path>,
) -> Result<(), Error> {
    let Some(path) = socket else { return Ok(()) };
    send(path, what.as_bytes(), process)
        .map_err(refused(format!("send the process to {}", path.display())))
}

/// Connects, sends a text with a descriptor, and hangs up.
pub(crate) fn send(path: &Path, text: &[u8], descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&stream, &SocketAddrUnix::new(path)?)?;
    kernel_sys::message::send(&stream, text, &[descriptor])
}
