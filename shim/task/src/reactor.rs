//! One epoll instance, descriptors that know what they are for, and a few timers.

use kernel_sys::{Errno, Result};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::SocketFlags;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Events taken from the kernel at a time.
const BATCH: usize = 32;
/// How long a listener rests whose connections cannot be taken.
const REST: Duration = Duration::from_millis(100);

/// What an event is about. The numbers are never used twice in a shim's life, so that an event
/// that was already taken from the kernel when its object went away finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A signal waits.
    Signals,
    /// A ttrpc client connects, or the listener has rested.
    Listener,
    /// The connection to the supervisor, and its time for a new attempt.
    Publisher,
    /// A ttrpc connection.
    Connection(u32),
    /// A worker answers.
    Worker(u32),
    /// An attach connection on which no request has come yet.
    Handshake(u32),
    /// A container's attach socket, by the number of its init process; or it has rested.
    AttachListener(u32),
    /// A container's memory cgroup, by the number of its init process.
    Memory(u32),
    /// The time is over in which an ended process' output is waited for.
    DrainDeadline(u32),
    /// Time to look whether anybody still wants this shim.
    Idle,
    /// An init that was let go tells what became of it.
    Start(u32),
    /// A process' stdio.
    Stdio(u32, Channel),
}

/// A part of a process' stdio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// The process' output: 0 is stdout, 1 is stderr.
    Output(u8),
    /// Where that output goes to, when it is a fifo.
    Sink(u8),
    /// The fifo that stdin comes from.
    StdinSource,
    /// The process' stdin.
    StdinSink,
    /// An attached client's stream.
    Client(u32),
    /// The daemon's end of an attachment.
    Control(u32),
    /// Time to write the log again.
    LogRetry,
}

const NUMBER_BITS: u32 = 28;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

impl Source {
    fn encode(self) -> u64 {
        let (kind, channel, number, client) = match self {
            Self::Signals => (0, 0, 0, 0),
            Self::Listener => (1, 0, 0, 0),
            Self::Publisher => (2, 0, 0, 0),
            Self::Connection(number) => (3, 0, number, 0),
            Self::Worker(number) => (4, 0, number, 0),
            Self::Handshake(number) => (5, 0, number, 0),
            Self::AttachListener(number) => (6, 0, number, 0),
            Self::Memory(number) => (7, 0, number, 0),
            Self::DrainDeadline(number) => (8, 0, number, 0),
            Self::Idle => (9, 0, 0, 0),
            Self::Start(number) => (10, 0, number, 0),
            Self::Stdio(number, channel) => {
                let (channel, client) = match channel {
                    Channel::Output(stream) => (0, u32::from(stream)),
                    Channel::Sink(stream) => (1, u32::from(stream)),
                    Channel::StdinSource => (2, 0),
                    Channel::StdinSink => (3, 0),
                    Channel::Client(client) => (4, client),
                    Channel::Control(client) => (5, client),
                    Channel::LogRetry => (6, 0),
                };
                (11, channel, number, client)
            }
        };
        (kind << 60)
            | (channel << 56)
            | ((u64::from(number) & NUMBER_MASK) << NUMBER_BITS)
            | (u64::from(client) & NUMBER_MASK)
    }

    fn decode(bits: u64) -> Self {
        let low = |bits: u64| u32::try_from(bits & NUMBER_MASK).unwrap_or(0);
        let (number, client) = (low(bits >> NUMBER_BITS), low(bits));
        match bits >> 60 {
            0 => Self::Signals,
            1 => Self::Listener,
            2 => Self::Publisher,
            3 => Self::Connection(number),
            4 => Self::Worker(number),
            5 => Self::Handshake(number),
            6 => Self::AttachListener(number),
            7 => Self::Memory(number),
            8 => Self::DrainDeadline(number),
            9 => Self::Idle,
            10 => Self::Start(number),
            _ => Self::Stdio(
                number,
                match (bits >> 56) & 15 {
                    0 => Channel::Output((client & 1) as u8),
                    1 => Channel::Sink((client & 1) as u8),
                    2 => Channel::StdinSource,
                    3 => Channel::StdinSink,
                    4 => Channel::Client(client),
                    5 => Channel::Control(client),
                    _ => Channel::LogRetry,
                },
            ),
        }
    }
}

/// A descriptor that the reactor watches for as long as this value lives.
///
/// It is taken out of the epoll set when dropped: closing alone would not do that, because a
/// worker may hold a copy of the descriptor (epoll(7), question 6).
#[derive(Debug)]
pub(crate) struct Watched {
    fd: OwnedFd,
    epoll: Rc<OwnedFd>,
    source: Source,
    wanted: Cell<EventFlags>,
}

impl Watched {
    /// Asks for these events from now on. None at all means not even errors and hang-ups, which
    /// level-triggered epoll would report again and again; `HUP` alone asks for just those.
    pub(crate) fn want(&self, flags: EventFlags) {
        let before = self.wanted.get();
        if before == flags {
            return;
        }
        let data = EventData::new_u64(self.source.encode());
        let result = if before.is_empty() {
            epoll::add(&*self.epoll, &self.fd, data, flags)
        } else if flags.is_empty() {
            epoll::delete(&*self.epoll, &self.fd)
        } else {
            epoll::modify(&*self.epoll, &self.fd, data, flags)
        };
        // Regular files cannot be watched and never need to be: they are always ready.
        if result.is_ok() {
            self.wanted.set(flags);
        }
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.want(EventFlags::empty());
    }
}

/// The shim's only place to wait in.
#[derive(Debug)]
pub(crate) struct Reactor {
    epoll: Rc<OwnedFd>,
    timers: Vec<(Instant, Source)>,
}

impl Reactor {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { epoll: Rc::new(epoll::create(CreateFlags::CLOEXEC)?), timers: Vec::new() })
    }

    /// Watches `fd` for `flags`, see [`Watched::want`].
    pub(crate) fn watch(&self, fd: OwnedFd, source: Source, flags: EventFlags) -> Watched {
        let epoll = Rc::clone(&self.epoll);
        let watched = Watched { fd, epoll, source, wanted: Cell::new(EventFlags::empty()) };
        watched.want(flags);
        watched
    }

    /// Takes a connection, if one is there. Where that fails, mostly for want of descriptors, the
    /// listener rests: it would be ready again at once, and again.
    ///
    /// # Errors
    /// The kernel's, when it rests.
    pub(crate) fn accept(&mut self, listener: &Watched) -> Result<Option<OwnedFd>> {
        listener.want(EventFlags::IN);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::accept_with(listener, flags) {
            Ok(socket) => Ok(Some(socket)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(errno) => {
                listener.want(EventFlags::empty());
                self.after(REST, listener.source);
                Err(errno)
            }
        }
    }

    /// Reports `source` once, `delay` from now; replaces its earlier timer.
    pub(crate) fn after(&mut self, delay: Duration, source: Source) {
        self.cancel(source);
        self.timers.push((Instant::now() + delay, source));
    }

    /// The same, but an earlier timer stays.
    pub(crate) fn within(&mut self, delay: Duration, source: Source) {
        if !self.timers.iter().any(|(_, other)| *other == source) {
            self.after(delay, source);
        }
    }

    /// Takes back [`Reactor::after`].
    pub(crate) fn cancel(&mut self, source: Source) {
        self.timers.retain(|(_, other)| *other != source);
    }

    /// Waits, and appends what happened; timers come with no flags.
    pub(crate) fn wait(&mut self, events: &mut Vec<(Source, EventFlags)>) -> Result<()> {
        let next = self.timers.iter().map(|(due, _)| *due).min();
        let timeout = next.map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut buffer = [none; BATCH];
        let ready =
            rustix::io::retry_on_intr(|| epoll::wait(&*self.epoll, &mut buffer, timeout.as_ref()))?;
        events.extend(
            buffer[..ready].iter().map(|event| (Source::decode(event.data.u64()), event.flags)),
        );
        let now = Instant::now();
        self.timers.retain(|(due, source)| {
            let waits = *due > now;
            if !waits {
                events.push((*source, EventFlags::empty()));
            }
            waits
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_the_kernel() {
        for source in [
            Source::Signals,
            Source::Listener,
            Source::Publisher,
            Source::Connection(7),
            Source::Worker(1 << 27),
            Source::Handshake(0),
            Source::AttachListener(3),
            Source::Memory(3),
            Source::DrainDeadline(4),
            Source::Idle,
            Source::Start(5),
            Source::Stdio(9, Channel::Output(1)),
            Source::Stdio(9, Channel::Sink(0)),
            Source::Stdio(9, Channel::StdinSource),
            Source::Stdio(9, Channel::StdinSink),
            Source::Stdio(9, Channel::Client(1 << 27)),
            Source::Stdio(9, Channel::Control(5)),
            Source::Stdio(9, Channel::LogRetry),
        ] {
            assert_eq!(Source::decode(source.encode()), source);
        }
    }

    #[test]
    fn a_listener_that_fails_rests_and_is_looked_at_again() {
        let mut reactor = Reactor::new().unwrap();
        // accept(2) refuses a connected socket, which is ready to be read all the same.
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        rustix::io::write(&theirs, b"x").unwrap();
        let listener = reactor.watch(ours.into(), Source::Listener, EventFlags::IN);
        assert!(reactor.accept(&listener).is_err());
        let mut events = Vec::new();
        reactor.wait(&mut events).unwrap();
        assert_eq!(events, [(Source::Listener, EventFlags::empty())]);
    }

    #[test]
    fn a_dropped_descriptor_is_forgotten_although_a_copy_is_open() {
        let mut reactor = Reactor::new().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let copy = rustix::io::dup(&reader).unwrap();
        let watched = reactor.watch(reader, Source::Listener, EventFlags::IN);
        rustix::io::write(&writer, b"x").unwrap();
        let mut events = Vec::new();
        reactor.wait(&mut events).unwrap();
        assert_eq!(events, [(Source::Listener, EventFlags::IN)]);
        drop(watched);
        events.clear();
        reactor.after(Duration::from_millis(1), Source::Publisher);
        reactor.wait(&mut events).unwrap();
        assert_eq!(events, [(Source::Publisher, EventFlags::empty())]);
        drop(copy);
    }
}
