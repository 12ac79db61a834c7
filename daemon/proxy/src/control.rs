//! The control socket: who connects finds the proxy alive, who says `stop` ends it.

use crate::poll::{Poll, Source};
use rustix::io::{Errno, Result};
use rustix::net::{RecvFlags, SocketFlags, accept_with, recv};
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// Visitors at a time; further ones are turned away.
pub(crate) const MAX_VISITORS: usize = 16;

/// Ends the proxy. It is the whole protocol, for as long as there are proxies.
const STOP: &[u8] = b"stop";

/// The control socket and who has connected to it.
#[derive(Debug)]
pub(crate) struct Control {
    socket: OwnedFd,
    visitors: HashMap<u64, OwnedFd>,
    next: u64,
}

impl Control {
    pub(crate) fn new(socket: OwnedFd, poll: &Poll) -> Result<Self> {
        poll.watch(&socket, Source::Control)?;
        Ok(Self { socket, visitors: HashMap::new(), next: 0 })
    }

    /// Lets one visitor in.
    pub(crate) fn admit(&mut self, poll: &Poll) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(visitor) = accept_with(&self.socket, flags) else { return };
        if self.visitors.len() >= MAX_VISITORS {
            return;
        }
        self.next += 1;
        if poll.watch(&visitor, Source::Visitor(self.next)).is_ok() {
            self.visitors.insert(self.next, visitor);
        }
    }

    /// Whether a visitor wants the proxy to end. It is told that it has by its connection's end.
    pub(crate) fn hear(&mut self, number: u64) -> bool {
        let Some(visitor) = self.visitors.get(&number) else { return false };
        let mut buffer = [0; STOP.len() + 1];
        match recv(visitor, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, length)) if &buffer[..length.min(buffer.len())] == STOP => true,
            Err(Errno::AGAIN | Errno::INTR) => false,
            _ => {
                self.visitors.remove(&number);
                false
            }
        }
    }
}
