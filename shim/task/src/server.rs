//! The event loop: one thread, one epoll instance, and everything that the shim holds.
//!
//! Nothing here waits but [`Reactor::wait`]: what may take long is a worker's, and its answer an
//! event. [`service`](crate::service) answers requests, `lifecycle` does what takes a worker,
//! `endings` sees processes end, `attachments` serves the bundles' attach sockets.

use crate::attachments::Handshake;
use crate::connection::{Broken, Connection, Reply};
use crate::container::Container;
use crate::error::TaskError;
use crate::lifecycle::Then;
use crate::logging::Log;
use crate::process::{Exit, Process};
use crate::publisher::Publisher;
use crate::reactor::{Reactor, Source, Watched};
use crate::stdio::Stdio;
use crate::worker::Worker;
use base_telemetry::TraceContext;
use base_telemetry::logger::Level;
use contracts_shim_api::events::Event;
use contracts_shim_api::ttrpc::Response;
use kernel_sys::{Errno, signals};
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Most callers at a time: containerd has one for each task, `ctr` and tests a few.
const MAX_CONNECTIONS: usize = 256;
/// How long a shim that is to leave still tries to hand over its last events.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// How long a shim without containers waits for a caller: its supervisor may have died between
/// starting it and `Create`, or between `Delete` and `Shutdown`.
const IDLE: Duration = Duration::from_secs(30);

/// What a server is told at its start.
#[derive(Debug)]
pub struct Config {
    /// The path of the socket that it listens on, removed when it leaves.
    pub socket: PathBuf,
    /// The containerd namespace.
    pub namespace: String,
    /// The socket that takes events; empty for none.
    pub events: String,
    /// The runtime's state directory, for options that name none.
    pub runtime_root: PathBuf,
    /// Where log lines go.
    pub log: Log,
}

/// A shim.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) reactor: Reactor,
    /// Absent once the shim is to leave.
    listener: Option<Watched>,
    signals: Watched,
    connections: BTreeMap<u32, Connection>,
    pub(crate) handshakes: BTreeMap<u32, Handshake>,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) processes: BTreeMap<u32, Process>,
    pub(crate) workers: BTreeMap<u32, (Worker, Then)>,
    /// Calls of `Delete` that wait for the end of their containers' checkpoints.
    pub(crate) deletes: Vec<(u32, Reply)>,
    /// Inits that were let go, and will tell what became of them.
    pub(crate) starts: BTreeMap<u32, (Watched, Reply)>,
    /// Stdio of deleted processes that somebody has not got all of yet.
    lingering: BTreeMap<u32, Stdio>,
    publisher: Publisher,
    /// Children that ended before the worker that made them told their number.
    pub(crate) early: Vec<(i32, Exit)>,
    last_number: u32,
    /// The trace of the request in hand.
    pub(crate) trace: TraceContext,
    /// Set by `Shutdown`: leave once the last events are handed over, at this time at the latest.
    pub(crate) leaving: Option<Instant>,
}

impl Server {
    /// A server on a listening socket. Takes over all signals of the process.
    ///
    /// # Errors
    /// The kernel gave no epoll instance or signal descriptor.
    pub fn new(config: Config, listener: OwnedFd) -> Result<Self, TaskError> {
        let signals = signals::take_all().map_err(TaskError::system("take over signals"))?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(TaskError::system("become a subreaper"))?;
        let reactor = Reactor::new().map_err(TaskError::system("make an epoll instance"))?;
        Ok(Self {
            listener: Some(reactor.watch(listener, Source::Listener, EventFlags::IN)),
            signals: reactor.watch(signals, Source::Signals, EventFlags::IN),
            publisher: Publisher::new(&config.events, &config.namespace),
            config,
            reactor,
            connections: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            containers: BTreeMap::new(),
            processes: BTreeMap::new(),
            workers: BTreeMap::new(),
            deletes: Vec::new(),
            starts: BTreeMap::new(),
            lingering: BTreeMap::new(),
            early: Vec::new(),
            last_number: 0,
            trace: TraceContext::default(),
            leaving: None,
        })
    }

    /// Serves until `Shutdown`, and then stays, for nobody to see, until the clients that were
    /// attached have all that they are to get: a slow one must not keep the container's name.
    ///
    /// # Errors
    /// The event loop itself failed.
    pub fn run(mut self) -> Result<(), TaskError> {
        let mut events = Vec::new();
        self.reactor.after(IDLE, Source::Idle);
        while !self.is_done() {
            self.turn(&mut events)?;
        }
        self.hang_up();
        while !self.lingering.is_empty() {
            self.turn(&mut events)?;
        }
        Ok(())
    }

    /// Waits, and deals with what has happened; `events` is only kept for the next turn.
    fn turn(&mut self, events: &mut Vec<(Source, EventFlags)>) -> Result<(), TaskError> {
        events.clear();
        self.reactor.wait(events).map_err(TaskError::system("wait for events"))?;
        for (source, flags) in events {
            self.on_event(*source, *flags);
        }
        Ok(())
    }

    /// For everybody else this shim is gone.
    fn hang_up(&mut self) {
        self.connections.clear();
        self.handshakes.clear();
        self.publisher = Publisher::new("", "");
    }

    fn is_done(&self) -> bool {
        self.leaving
            .is_some_and(|at_latest| self.publisher.is_idle() || Instant::now() >= at_latest)
    }

    fn on_event(&mut self, source: Source, flags: EventFlags) {
        match source {
            Source::Signals => self.on_signal(),
            Source::Listener => self.accept(),
            Source::Publisher => self.publisher.on_event(&mut self.reactor, flags),
            Source::Connection(number) => self.on_connection(number, flags),
            Source::Worker(number) => self.on_worker(number),
            // Also wakes a shim that is to leave, at the latest moment.
            Source::Idle => {
                if self.is_idle() {
                    self.leave();
                }
            }
            Source::Start(number) => self.on_start(number),
            Source::Handshake(number) => self.on_handshake(number),
            Source::AttachListener(init) => self.accept_attachment(init),
            Source::Memory(init) => self.on_memory(init),
            Source::DrainDeadline(number) => self.on_drain_deadline(number),
            Source::Stdio(number, channel) => {
                if let Some(process) = self.processes.get_mut(&number) {
                    process.stdio.on_event(&mut self.reactor, channel, flags);
                    self.finish_if_drained(number);
                } else if let Some(stdio) = self.lingering.get_mut(&number) {
                    stdio.on_event(&mut self.reactor, channel, flags);
                    if stdio.is_wound_up() {
                        self.lingering.remove(&number);
                    }
                }
            }
        }
    }

    /// A process is deleted; its stdio stays for as long as somebody has not got all of it.
    pub(crate) fn let_linger(&mut self, number: u32, mut stdio: Stdio) {
        stdio.wind_up(&mut self.reactor);
        if !stdio.is_wound_up() {
            self.lingering.insert(number, stdio);
        }
    }

    /// A number that was never used before.
    pub(crate) fn number(&mut self) -> u32 {
        self.last_number += 1;
        self.last_number
    }

    fn on_signal(&mut self) {
        let Ok(signal) = signals::next(&self.signals) else { return };
        match rustix::process::Signal::from_named_raw(signal) {
            Some(rustix::process::Signal::CHILD) => self.reap(),
            // Containers end by requests only; a machine that goes down stops them first.
            Some(rustix::process::Signal::TERM | rustix::process::Signal::INT)
                if self.containers.is_empty() =>
            {
                self.lingering.clear();
                self.leave();
            }
            _ => {}
        }
    }

    /// Leaves as soon as the last events are handed over. The socket's name is free at once: the
    /// next shim of this name may be on its way.
    pub(crate) fn leave(&mut self) {
        if self.leaving.is_none() {
            let _ = std::fs::remove_file(&self.config.socket);
            self.listener = None;
            self.leaving = Some(Instant::now() + LAST_EVENTS);
            self.reactor.after(LAST_EVENTS, Source::Idle);
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let socket = match self.reactor.accept(listener) {
            Ok(Some(socket)) => socket,
            Ok(None) => return,
            Err(errno) => {
                let fields = [("error", &*errno.to_string())];
                return self.log(Level::Warning, "cannot take a connection", &fields);
            }
        };
        if self.connections.len() >= MAX_CONNECTIONS {
            return self.log(Level::Warning, "too many connections", &[]);
        }
        let number = self.number();
        let socket = self.reactor.watch(socket, Source::Connection(number), EventFlags::IN);
        self.connections.insert(number, Connection::new(socket));
    }

    fn on_connection(&mut self, number: u32, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if flags.contains(EventFlags::OUT) && connection.send().is_err() {
            return self.disconnect(number);
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        match connection.receive() {
            Ok(frames) => {
                for frame in frames {
                    self.on_request(Reply { connection: number, stream: frame.stream }, &frame);
                }
            }
            // Calls in progress go on; their answers find nobody.
            Err(Broken) => self.disconnect(number),
        }
    }

    fn disconnect(&mut self, number: u32) {
        self.connections.remove(&number);
        for process in self.processes.values_mut() {
            process.waiters.retain(|waiter| waiter.connection != number);
        }
        if self.is_idle() && self.leaving.is_none() {
            self.reactor.after(IDLE, Source::Idle);
        }
    }

    /// Whether nobody wants this shim: no container, and no caller who could make one.
    fn is_idle(&self) -> bool {
        self.containers.is_empty() && self.connections.is_empty()
    }

    /// Answers a call; the caller may be gone.
    pub(crate) fn answer(&mut self, reply: Reply, response: &Response) {
        let Some(connection) = self.connections.get_mut(&reply.connection) else { return };
        if connection.answer(reply.stream, response).is_err() {
            self.disconnect(reply.connection);
        }
    }

    /// Publishes an event.
    pub(crate) fn publish(&mut self, event: &impl Event) {
        self.publisher.publish(&mut self.reactor, event);
    }

    /// Writes a log line.
    pub(crate) fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.config.log.write(level, message, fields);
    }

    /// Writes a log line that belongs to the request in hand.
    pub(crate) fn log_traced(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        if level == Level::Debug && !self.config.log.is_verbose() {
            return;
        }
        let trace_id = self.trace.trace_id();
        let mut all = vec![("trace_id", trace_id.as_str())];
        all.extend_from_slice(fields);
        self.log(level, message, &all);
    }

    /// Whether an accept or receive should just be tried again later.
    pub(crate) fn is_transient(errno: Errno) -> bool {
        matches!(errno, Errno::AGAIN | Errno::INTR)
    }
}
