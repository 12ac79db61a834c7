//! The loop: waits for events and hands each to whom it concerns.

use crate::control::Control;
use crate::datagram::DatagramPort;
use crate::orders::{Kind, Orders, Port};
use crate::poll::{Poll, Source};
use crate::stream::{CLIENT, CONTAINER, Connection, Progress};
use rustix::event::epoll::EventFlags;
use rustix::io::{Errno, Result};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Connections at a time; further ones wait in their ports' queues.
pub(crate) const MAX_CONNECTIONS: usize = 16 * 1024;
/// Clients accepted from one port before the others have their turn.
const TURN: usize = 64;
/// How often is looked for callers that have fallen silent.
const SWEEP: Duration = Duration::from_secs(10);
/// How long ports rest when the system refuses to accept (too many open files).
const REST: Duration = Duration::from_secs(1);
/// Bytes read at a time; a datagram is not longer.
const BUFFER: usize = 64 * 1024;

/// Everything that a proxy holds.
#[derive(Debug)]
pub(crate) struct Forwarder {
    poll: Poll,
    control: Control,
    streams: BTreeMap<u64, Port>,
    datagrams: BTreeMap<u64, DatagramPort>,
    connections: HashMap<u64, Connection>,
    /// Connections that were interrupted by the end of their turn.
    interrupted: Vec<u64>,
    /// The number given last.
    number: u64,
    /// Since when no port is listened to: there are too many connections, or open files.
    resting: Option<Instant>,
    /// When was looked for silent callers.
    swept: Instant,
}

impl Forwarder {
    pub(crate) fn new(orders: Orders) -> Result<Self> {
        let poll = Poll::new()?;
        let control = Control::new(orders.control, &poll)?;
        let (mut streams, mut datagrams) = (BTreeMap::new(), BTreeMap::new());
        for (place, port) in (0..).zip(orders.ports) {
            poll.watch(&port.socket, Source::Port(place))?;
            match port.kind {
                Kind::Stream => drop(streams.insert(place, port)),
                Kind::Datagram => drop(datagrams.insert(place, DatagramPort::new(place, port)?)),
            }
        }
        Ok(Self {
            poll,
            control,
            streams,
            datagrams,
            connections: HashMap::new(),
            interrupted: Vec::new(),
            number: 0,
            resting: None,
            swept: Instant::now(),
        })
    }

    /// Carries until told to stop.
    pub(crate) fn run(mut self) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let events = self.poll.wait(self.patience())?;
            if self.swept.elapsed() >= SWEEP {
                self.swept = Instant::now();
                self.datagrams.values_mut().for_each(DatagramPort::forget_silent);
            }
            if self.resting.is_some_and(|since| since.elapsed() >= REST) {
                self.listen_again();
            }
            for (source, flags) in events {
                match source {
                    Source::Control => self.control.admit(&self.poll),
                    Source::Visitor(number) => {
                        if self.control.hear(number) {
                            // The ports are free before the visitor learns that this has ended.
                            (self.streams, self.datagrams) = (BTreeMap::new(), BTreeMap::new());
                            return Ok(());
                        }
                    }
                    Source::Port(place) => self.serve(place, &mut buffer),
                    Source::Client(number) => self.note(number, CLIENT, flags, &mut buffer),
                    Source::Container(number) => self.note(number, CONTAINER, flags, &mut buffer),
                    Source::Caller(place, number) => {
                        if let Some(port) = self.datagrams.get_mut(&place) {
                            port.outwards(number, &mut buffer);
                        }
                    }
                }
            }
            for number in std::mem::take(&mut self.interrupted) {
                self.carry(number, &mut buffer);
            }
        }
    }

    /// How long there is nothing to do without an event.
    fn patience(&self) -> Option<Duration> {
        if !self.interrupted.is_empty() {
            Some(Duration::ZERO)
        } else if self.resting.is_some() {
            Some(REST)
        } else {
            self.datagrams.values().any(DatagramPort::has_callers).then_some(SWEEP)
        }
    }

    fn serve(&mut self, place: u64, buffer: &mut [u8]) {
        if let Some(port) = self.datagrams.get_mut(&place) {
            port.inwards(&self.poll, buffer, &mut self.number);
        }
        for _ in 0..TURN {
            let Some(port) = self.streams.get(&place) else { return };
            if self.connections.len() >= MAX_CONNECTIONS {
                return self.rest();
            }
            let connection = match Connection::accept(&port.socket, port.target) {
                Ok(connection) => connection,
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    return self.rest();
                }
                // That client has left again, or the container cannot be reached.
                Err(_) => continue,
            };
            self.number += 1;
            let number = self.number;
            let watched = self
                .poll
                .watch_changes(connection.socket(CLIENT), Source::Client(number))
                .and_then(|()| {
                    let container = connection.socket(CONTAINER);
                    self.poll.watch_changes(container, Source::Container(number))
                });
            if watched.is_ok() {
                self.connections.insert(number, connection);
            }
        }
    }

    fn note(&mut self, number: u64, side: usize, flags: EventFlags, buffer: &mut [u8]) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.note(side, flags);
            self.carry(number, buffer);
        }
    }

    fn carry(&mut self, number: u64, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        match connection.carry(buffer) {
            Progress::Waiting => {}
            Progress::More => self.interrupted.push(number),
            Progress::Over => {
                self.connections.remove(&number);
                self.listen_again();
            }
        }
    }

    /// Listens to no port until there is room: they would tell of their queues without end.
    fn rest(&mut self) {
        self.resting = Some(Instant::now());
        for port in self.streams.values() {
            let _ = self.poll.forget(&port.socket);
        }
    }

    fn listen_again(&mut self) {
        if self.resting.take().is_none() {
            return;
        }
        for (place, port) in &self.streams {
            if self.poll.watch(&port.socket, Source::Port(*place)).is_err() {
                self.resting = Some(Instant::now());
            }
        }
    }
}
