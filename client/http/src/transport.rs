//! Streams to a daemon. Whatever the way (Unix socket, TCP, TLS, ssh), callers hold a plain socket
//! that can be duplicated, polled and half-closed; TLS and ssh put a pump behind a socket pair.

use crate::{Endpoint, Place, ssh, tls};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// A connected stream socket.
#[derive(Debug)]
pub enum Stream {
    /// A Unix socket, or one end of a pair with a pump behind it.
    Unix(UnixStream),
    /// Plain TCP.
    Tcp(TcpStream),
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Nothing listens there.
    Absent,
    /// The socket may not be used by this user.
    Denied,
    /// Something else.
    Other(String),
}

impl ConnectError {
    fn from_io(error: &io::Error, host: &str) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::Absent,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Other(format!("dial {host}: {error}")),
        }
    }
}

pub(crate) fn connect(endpoint: &Endpoint) -> Result<Stream, ConnectError> {
    let from_io = |error: io::Error| ConnectError::from_io(&error, &endpoint.host);
    match &endpoint.place {
        Place::Unix(path) => UnixStream::connect(path).map(Stream::Unix).map_err(from_io),
        Place::Tcp { host, port, tls } => {
            let stream = TcpStream::connect((host.as_str(), *port)).map_err(from_io)?;
            stream.set_nodelay(true).map_err(from_io)?;
            match tls {
                None => Ok(Stream::Tcp(stream)),
                Some(files) => tls::wrap(stream, host, files)
                    .map(Stream::Unix)
                    .map_err(|error| ConnectError::Other(base_errors::Chain(&error).to_string())),
            }
        }
        Place::Ssh { .. } => ssh::dial(&endpoint.place)
            .map(Stream::Unix)
            .map_err(|error| ConnectError::Other(format!("ssh: {error}"))),
    }
}

impl Stream {
    /// A second handle on the same socket.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    /// Tells the peer that nothing more will be sent; reading goes on.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn close_write(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Ends both directions, for every handle on the socket.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn close(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        }
    }

    /// Whether the peer has sent something, or closed: an idle connection with news is dead.
    pub(crate) fn has_news(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(into),
            Self::Tcp(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
