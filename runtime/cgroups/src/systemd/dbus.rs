//! A synchronous D-Bus client, of which there is what a conversation with systemd needs: one
//! connection over a Unix socket, calls one after another, and one signal waited for.
//!
//! Every wait ends at the conversation's deadline, every length has a bound
//! ([`message::MAX_MESSAGE`]). Descriptors are not passed, names not owned, calls not answered.

mod message;
mod value;

pub(super) use message::Target;
pub(super) use value::Value;

use message::{FIXED_HEADER, Kind, Received};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// No line of the authentication is longer.
const MAX_LINE: usize = 512;
/// As whom this process authenticates, the kernel tells: nothing is said about it here, so that it
/// is right in a user namespace, too (D-Bus specification, "EXTERNAL").
///
/// All of it goes at once: systemd's own socket does not look at a message that it read together with
/// BEGIN until something else comes.
const AUTHENTICATE: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
/// What an abstract socket's name begins with here, as in `/proc/net/unix`.
pub(super) const ABSTRACT: u8 = b'@';
/// The bus itself.
const BUS: Target<'static> = Target {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// A conversation that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket: what was being done, and why it failed.
    #[error("{0}")]
    Socket(&'static str, #[source] io::Error),
    /// The other side did not let this process in.
    #[error("authentication was answered {0:?}")]
    Authentication(String),
    /// Something that is no D-Bus message, or too long for one.
    #[error("{0}")]
    Protocol(&'static str),
    /// The answer was an error.
    #[error("{message} ({name})")]
    Answer {
        /// Its name, `org.freedesktop.…`.
        name: String,
        /// Its text.
        message: String,
    },
}

impl Error {
    /// Whether the answer was the error of this name.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Answer { name, .. } if name == wanted)
    }

    /// The kernel's reason, if it was the kernel that refused.
    pub(super) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Socket(_, error) => error.raw_os_error().map(Errno::from_raw_os_error),
            _ => None,
        }
    }
}

/// An answer's arguments, and who gave it.
pub(super) struct Answer {
    pub(super) arguments: Vec<Value>,
    pub(super) sender: String,
}

/// A connection.
pub(super) struct Connection {
    socket: UnixStream,
    /// What was received and not yet read.
    received: Vec<u8>,
    serial: u32,
    deadline: Instant,
}

impl Connection {
    /// Connects to a bus, or with `is_bus` false to a service that speaks without one, for a
    /// conversation of at most `limit`.
    pub(super) fn open(path: &Path, is_bus: bool, limit: Duration) -> Result<Self, Error> {
        let socket = dial(path, limit).map_err(|error| Error::Socket("connect", error))?;
        let mut connection =
            Self { socket, received: Vec::new(), serial: 0, deadline: Instant::now() + limit };
        connection.authenticate()?;
        if is_bus {
            let _ = connection.call(BUS, "Hello", &[])?;
        }
        Ok(connection)
    }

    fn authenticate(&mut self) -> Result<(), Error> {
        self.send(AUTHENTICATE)?;
        let (challenge, accepted) = (self.line()?, self.line()?);
        if challenge.trim_end() != "DATA" || !accepted.starts_with("OK ") {
            let answer = if challenge.starts_with("DATA") { accepted } else { challenge };
            return Err(Error::Authentication(answer));
        }
        Ok(())
    }

    /// Asks the bus to pass on signals that match a rule.
    pub(super) fn add_match(&mut self, rule: &str) -> Result<(), Error> {
        self.call(BUS, "AddMatch", &[Value::text(rule)]).map(drop)
    }

    /// Calls a method and waits for its answer.
    pub(super) fn call(
        &mut self,
        target: Target<'_>,
        member: &str,
        arguments: &[Value],
    ) -> Result<Answer, Error> {
        self.serial += 1;
        let serial = self.serial;
        let message = message::call(serial, target, member, arguments)
            .ok_or(Error::Protocol("the call is too long"))?;
        self.send(&message)?;
        loop {
            let received = self.receive()?;
            if received.reply_serial != Some(serial) {
                continue;
            }
            let arguments = received.arguments();
            match received.kind {
                Kind::Return => {
                    let arguments =
                        arguments.ok_or(Error::Protocol("the answer is not understood"))?;
                    return Ok(Answer { arguments, sender: received.sender });
                }
                Kind::Error => {
                    let message = match arguments.unwrap_or_default().into_iter().next() {
                        Some(Value::Text(text)) => text,
                        _ => "no reason given".to_owned(),
                    };
                    return Err(Error::Answer { name: received.error_name, message });
                }
                Kind::Signal | Kind::Other => {}
            }
        }
    }

    /// Waits for a signal of which `pick` makes something of its arguments. Only `sender`'s count:
    /// anybody may send one that looks like it.
    pub(super) fn wait_for<T>(
        &mut self,
        sender: &str,
        interface: &str,
        member: &str,
        pick: impl Fn(&[Value]) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            let received = self.receive()?;
            let is_it = received.kind == Kind::Signal
                && received.sender == sender
                && (received.interface.as_str(), received.member.as_str()) == (interface, member);
            if is_it && let Some(found) = received.arguments().as_deref().and_then(&pick) {
                return Ok(found);
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let limit = self.time_left()?;
        self.socket
            .set_write_timeout(Some(limit))
            .and_then(|()| self.socket.write_all(bytes))
            .map_err(|error| Error::Socket("send", timed(error)))
    }

    fn receive(&mut self) -> Result<Received, Error> {
        let malformed = Error::Protocol("what was received is no message, or too long");
        self.fill(FIXED_HEADER)?;
        let length = self.received.first_chunk().and_then(message::total_length);
        let Some(length) = length else { return Err(malformed) };
        self.fill(length)?;
        let rest = self.received.split_off(length);
        let message = std::mem::replace(&mut self.received, rest);
        Received::parse(&message).ok_or(malformed)
    }

    /// A line of the authentication, without its end.
    fn line(&mut self) -> Result<String, Error> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 2);
                return Ok(line);
            }
            if self.received.len() > MAX_LINE {
                return Err(Error::Protocol("a line of the authentication is too long"));
            }
            self.fill(self.received.len() + 1)?;
        }
    }

    /// Reads until there are so many bytes.
    fn fill(&mut self, wanted: usize) -> Result<(), Error> {
        let mut buffer = [0; 4096];
        while self.received.len() < wanted {
            let limit = self.time_left()?;
            let read = self
                .socket
                .set_read_timeout(Some(limit))
                .and_then(|()| self.socket.read(&mut buffer));
            match read {
                Ok(0) => {
                    let closed = io::ErrorKind::UnexpectedEof.into();
                    return Err(Error::Socket("receive", closed));
                }
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Socket("receive", timed(error))),
            }
        }
        Ok(())
    }

    fn time_left(&self) -> Result<Duration, Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Socket("wait for an answer", io::ErrorKind::TimedOut.into()));
        }
        Ok(left)
    }
}

/// A socket's time that ran out is reported as "would block" (socket(7), `SO_RCVTIMEO`).
fn timed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// Connects; a listener that accepts nobody is waited for no longer than `limit`.
fn dial(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    let address = match path.as_os_str().as_bytes() {
        [ABSTRACT, name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
        _ => SocketAddrUnix::new(path)?,
    };
    connect(&socket, &address)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
