//! One epoll instance, and what its events are about.

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, Result, retry_on_intr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Events taken at a time.
const BATCH: usize = 128;

/// An event's number is, from its lowest bits: which source, a port's place, a running number.
const KIND_BITS: u32 = 3;
const PLACE_BITS: u32 = 18;

/// Whose event it is. Numbers of connections, callers and visitors are never given twice, so that
/// a late event meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Somebody connects to the control socket.
    Control,
    /// A visitor of the control socket says something.
    Visitor(u64),
    /// A port, by its place in the orders.
    Port(u64),
    /// The client's side of a connection.
    Client(u64),
    /// The container's side of a connection.
    Container(u64),
    /// The socket by which a caller's datagrams go to the container: its port and its number.
    Caller(u64, u64),
}

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Poll(OwnedFd);

impl Poll {
    pub(crate) fn new() -> Result<Self> {
        epoll::create(CreateFlags::CLOEXEC).map(Self)
    }

    /// Tells again and again while there is something to read.
    pub(crate) fn watch(&self, socket: impl AsFd, source: Source) -> Result<()> {
        epoll::add(&self.0, socket, source.data(), EventFlags::IN)
    }

    /// Tells once whenever reading or writing becomes possible.
    pub(crate) fn watch_changes(&self, socket: impl AsFd, source: Source) -> Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.0, socket, source.data(), flags)
    }

    /// Tells nothing more about a socket. One that is closed need not be taken out.
    pub(crate) fn forget(&self, socket: impl AsFd) -> Result<()> {
        epoll::delete(&self.0, socket)
    }

    /// Waits for events; for ever without a `timeout`.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<Vec<(Source, EventFlags)>> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut events = Vec::with_capacity(BATCH);
        match retry_on_intr(|| {
            epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), timeout.as_ref())
        }) {
            Ok(_) => {}
            // A debugger's doing.
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let known = |event: Event| Some((Source::of(event.data)?, event.flags));
        Ok(events.into_iter().filter_map(known).collect())
    }
}

impl Source {
    fn data(self) -> EventData {
        let (kind, number) = match self {
            Self::Control => (0, 0),
            Self::Visitor(number) => (1, number),
            Self::Port(number) => (2, number),
            Self::Client(number) => (3, number),
            Self::Container(number) => (4, number),
            Self::Caller(place, number) => (5, number << PLACE_BITS | place),
        };
        EventData::new_u64(number << KIND_BITS | kind)
    }

    fn of(data: EventData) -> Option<Self> {
        let (kind, number) = (data.u64() & ((1 << KIND_BITS) - 1), data.u64() >> KIND_BITS);
        Some(match kind {
            0 => Self::Control,
            1 => Self::Visitor(number),
            2 => Self::Port(number),
            3 => Self::Client(number),
            4 => Self::Container(number),
            5 => Self::Caller(number & ((1 << PLACE_BITS) - 1), number >> PLACE_BITS),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_survives_its_event() {
        let last = crate::orders::MAX_PORTS as u64 - 1;
        for source in [
            Source::Control,
            Source::Port(last),
            Source::Client(1 << 40),
            Source::Caller(last, 1 << 40),
        ] {
            assert_eq!(Source::of(source.data()), Some(source));
        }
    }
}
