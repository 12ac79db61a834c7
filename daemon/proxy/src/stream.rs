//! A connection through the proxy: two sockets, and what is on its way between them.
//!
//! ```text
//! connecting ─→ carrying ─→ one side has ended (the other is told) ─→ both have ─→ over
//!      └────────────┴───────── a socket fails ───────────────────────────────────→ over
//! ```

use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, accept_with, connect,
    ipproto, recv, send, shutdown, socket_with, sockopt,
};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Reads for one connection before the others have their turn.
const TURN: usize = 16;
/// After this silence a vanished peer is looked for, as docker-proxy does.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The index of the client's side.
pub(crate) const CLIENT: usize = 0;
/// The index of the container's side.
pub(crate) const CONTAINER: usize = 1;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sides: [Side; 2],
    connecting: bool,
}

/// How far a connection has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its sockets have to be waited for.
    Waiting,
    /// There is more to do at once.
    More,
    /// It has ended.
    Over,
}

#[derive(Debug)]
struct Side {
    socket: OwnedFd,
    readable: bool,
    writable: bool,
    /// What came from the other side and could not be written here yet.
    pending: Vec<u8>,
    /// Nothing more comes from here.
    ended: bool,
    /// Nothing more goes here, and it has been told so.
    closed: bool,
}

impl Connection {
    /// Accepts a client and begins to connect to the container.
    pub(crate) fn accept(listener: impl AsFd, target: SocketAddrV4) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let client = accept_with(listener, flags)?;
        let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
        let container = socket_with(family, kind, flags, Some(ipproto::TCP))?;
        for socket in [&client, &container] {
            sockopt::set_tcp_nodelay(socket, true)?;
            sockopt::set_socket_keepalive(socket, true)?;
            sockopt::set_tcp_keepidle(socket, KEEP_ALIVE)?;
            sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE)?;
        }
        match connect(&container, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            // The client is told by the end of its connection.
            Err(errno) => return Err(errno),
        }
        let sides = [client, container].map(|socket| Side {
            socket,
            readable: false,
            writable: false,
            pending: Vec::new(),
            ended: false,
            closed: false,
        });
        Ok(Self { sides, connecting: true })
    }

    /// The socket of a side.
    pub(crate) fn socket(&self, side: usize) -> BorrowedFd<'_> {
        self.sides[side].socket.as_fd()
    }

    /// Takes note of an event.
    pub(crate) fn note(&mut self, side: usize, flags: EventFlags) {
        // A socket that has failed tells how when it is used.
        let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        let side = &mut self.sides[side];
        side.readable |= failed || flags.intersects(EventFlags::IN | EventFlags::RDHUP);
        side.writable |= failed || flags.contains(EventFlags::OUT);
    }

    /// Moves what can be moved.
    pub(crate) fn carry(&mut self, buffer: &mut [u8]) -> Progress {
        if self.connecting {
            let container = &self.sides[CONTAINER];
            if !container.writable {
                return Progress::Waiting;
            }
            if !matches!(sockopt::socket_error(&container.socket), Ok(Ok(()))) {
                return Progress::Over;
            }
            self.connecting = false;
        }
        let mut more = false;
        for from in [CLIENT, CONTAINER] {
            match self.carry_from(from, buffer) {
                Ok(again) => more |= again,
                Err(_) => return Progress::Over,
            }
        }
        if self.sides.iter().all(|side| side.closed) {
            Progress::Over
        } else if more {
            Progress::More
        } else {
            Progress::Waiting
        }
    }

    /// Moves bytes one way until a socket has to be waited for; true when its turn ended first.
    fn carry_from(&mut self, from: usize, buffer: &mut [u8]) -> Result<bool> {
        let [client, container] = &mut self.sides;
        let (source, target) =
            if from == CLIENT { (client, container) } else { (container, client) };
        for _ in 0..TURN {
            if !target.flush()? {
                return Ok(false);
            }
            if source.ended {
                target.close()?;
                return Ok(false);
            }
            if !source.readable {
                return Ok(false);
            }
            match recv(&source.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => source.ended = true,
                Ok((_, length)) => target.write(&buffer[..length])?,
                Err(Errno::AGAIN) => source.readable = false,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(true)
    }
}

impl Side {
    /// Writes, and keeps what does not fit now.
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.write_some(bytes)?;
        self.pending.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what was kept; true when nothing is left of it.
    fn flush(&mut self) -> Result<bool> {
        if self.pending.is_empty() {
            return Ok(true);
        }
        let pending = std::mem::take(&mut self.pending);
        let written = self.write_some(&pending)?;
        self.pending.extend_from_slice(&pending[written..]);
        Ok(self.pending.is_empty())
    }

    fn write_some(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut written = 0;
        while self.writable && written < bytes.len() {
            match send(&self.socket, &bytes[written..], SendFlags::NOSIGNAL) {
                Ok(length) => written += length,
                Err(Errno::AGAIN) => self.writable = false,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(written)
    }

    fn close(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        match shutdown(&self.socket, Shutdown::Write) {
            // It has been reset meanwhile; reading from it tells.
            Err(Errno::NOTCONN) => Ok(()),
            result => result,
        }
    }
}
