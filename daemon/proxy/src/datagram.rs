//! Datagrams through the proxy. Each caller has a socket of its own towards the container, so that
//! answers find their way back; a caller that is silent for long is forgotten.

use crate::orders::Port;
use crate::poll::{Poll, Source};
use kernel_sys::datagram::{receive_datagram, send_datagram, tell_destinations};
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send,
    socket_with,
};
use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Callers of one port; a further one takes the place of whoever has been silent for longest.
pub(crate) const MAX_CALLERS: usize = 1024;
/// A caller that neither sends nor gets anything for so long is forgotten; docker-proxy's figure.
const SILENCE: Duration = Duration::from_secs(90);
/// Datagrams taken from one socket before the others have their turn.
const TURN: usize = 64;

/// A port whose datagrams are carried.
#[derive(Debug)]
pub(crate) struct DatagramPort {
    place: u64,
    port: Port,
    numbers: HashMap<SocketAddrV6, u64>,
    callers: HashMap<u64, Caller>,
}

#[derive(Debug)]
struct Caller {
    address: SocketAddrV6,
    /// The address of ours that it called.
    called: Ipv6Addr,
    socket: OwnedFd,
    last: Instant,
}

impl DatagramPort {
    /// The port at this place of the orders.
    pub(crate) fn new(place: u64, port: Port) -> Result<Self> {
        tell_destinations(&port.socket)?;
        Ok(Self { place, port, numbers: HashMap::new(), callers: HashMap::new() })
    }

    /// Takes datagrams to the container. `number` gives new callers theirs.
    pub(crate) fn inwards(&mut self, poll: &Poll, buffer: &mut [u8], number: &mut u64) {
        for _ in 0..TURN {
            let datagram = match receive_datagram(&self.port.socket, buffer) {
                Ok(datagram) => datagram,
                Err(Errno::AGAIN) => return,
                // A late complaint about an answer that could not be delivered.
                Err(_) => continue,
            };
            if let Some(caller) = self.caller(datagram.from, datagram.to, poll, number) {
                caller.last = Instant::now();
                // Datagrams may be lost; whether the container hears them is its business.
                let _ = send(&caller.socket, &buffer[..datagram.length], SendFlags::NOSIGNAL);
            }
        }
    }

    /// Takes the container's answers to a caller.
    pub(crate) fn outwards(&mut self, number: u64, buffer: &mut [u8]) {
        let Some(caller) = self.callers.get_mut(&number) else { return };
        for _ in 0..TURN {
            match recv(&caller.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, length)) => {
                    caller.last = Instant::now();
                    let (to, from) = (caller.address, caller.called);
                    let _ = send_datagram(&self.port.socket, &buffer[..length], to, from);
                }
                Err(Errno::AGAIN) => return,
                // Nobody listens in the container (ECONNREFUSED): perhaps not yet.
                Err(_) => {}
            }
        }
    }

    pub(crate) fn has_callers(&self) -> bool {
        !self.callers.is_empty()
    }

    /// Forgets who has been silent for long.
    pub(crate) fn forget_silent(&mut self) {
        self.callers.retain(|_, caller| caller.last.elapsed() < SILENCE);
        let callers = &self.callers;
        self.numbers.retain(|_, number| callers.contains_key(number));
    }

    fn caller(
        &mut self,
        address: SocketAddrV6,
        called: Ipv6Addr,
        poll: &Poll,
        number: &mut u64,
    ) -> Option<&mut Caller> {
        if !self.numbers.contains_key(&address) {
            let socket = self.towards_container().ok()?;
            *number += 1;
            poll.watch(&socket, Source::Caller(self.place, *number)).ok()?;
            self.make_room();
            let caller = Caller { address, called, socket, last: Instant::now() };
            self.numbers.insert(address, *number);
            self.callers.insert(*number, caller);
        }
        let caller = self.callers.get_mut(self.numbers.get(&address)?)?;
        caller.called = called;
        Some(caller)
    }

    fn towards_container(&self) -> Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
        let socket = socket_with(family, kind, flags, Some(ipproto::UDP))?;
        connect(&socket, &self.port.target)?;
        Ok(socket)
    }

    fn make_room(&mut self) {
        if self.callers.len() < MAX_CALLERS {
            return;
        }
        let oldest = self.callers.iter().min_by_key(|(_, caller)| caller.last);
        if let Some((&number, caller)) = oldest {
            self.numbers.remove(&caller.address);
            self.callers.remove(&number);
        }
    }
}
