//! Handing a terminal's master to whoever asked for it.

use crate::error::{Error, refused};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Sends the master to a console socket, if there is one (runc's protocol: one message with the
/// terminal's name and the descriptor); else it is the caller's.
pub(crate) fn hand_over(
    console: Option<OwnedFd>,
    socket: Option<&Path>,
) -> Result<Option<OwnedFd>, Error> {
    let (Some(master), Some(path)) = (&console, socket) else { return Ok(console) };
    let step = || format!("send the terminal to {}", path.display());
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(refused(step()))?;
    let address = SocketAddrUnix::new(path).map_err(refused(step()))?;
    connect(&stream, &address).map_err(refused(step()))?;
    kernel_sys::message::send(&stream, b"/dev/ptmx", &[master.as_fd()]).map_err(refused(step()))?;
    Ok(None)
}
