//! A process' stdin, stdout and stderr on the shim's side.
//!
//! Output flows: process → pipe or terminal → log file → attached clients; or → fifo or file. It
//! is read only while everything behind can take it: a full disk, a full fifo or a slow client
//! stops the reading, and with it in the end the process. When the process has ended, what the
//! pipe then holds is still read, but not what a process that inherited the pipe writes later.

mod client;
mod destination;
mod detach;
mod lines;
mod log;
mod logger;
mod opening;
mod stdin;

pub(crate) use opening::{Opened, Owner};

use crate::error::TaskError;
use crate::reactor::{Channel, Reactor, Source, Watched};
use client::{Client, Input};
use contracts_shim_api::attach::{AttachRequest, AttachResponse, EndReason};
use contracts_shim_api::stdio::StdioUri;
use destination::Destination;
use kernel_sys::Errno;
use log::Log;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::time::Duration;
use stdin::Stdin;

/// Bytes read at a time.
const READ: usize = 8 << 10;
/// Bytes read at a time while a process writes more than that.
const FLOOD_READ: usize = 256 << 10;
/// Reads before other work gets its turn.
const READS_IN_A_ROW: usize = 16;
/// Pause before a full disk is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// Most attachments of one process at a time.
const MAX_CLIENTS: usize = 1_000;

/// What the caller of `Create` or `Exec` wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uris {
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: bool,
}

/// One stream of output.
#[derive(Debug, Default)]
struct Output {
    /// The pipe's or terminal's end; absent before the start and after the end of the stream.
    source: Option<Watched>,
    /// A fifo or file; without one, log and clients get the output.
    destination: Option<Destination>,
    /// Once the process has ended: how much more is read.
    left: Option<u64>,
}

/// The stdio of one process.
#[derive(Debug)]
pub(crate) struct Stdio {
    process: u32,
    uris: Uris,
    parsed: [StdioUri; 3],
    stdin: Stdin,
    outputs: [Output; 2],
    log: Option<Log>,
    clients: BTreeMap<u32, Client>,
    next_client: u32,
    ended: bool,
}

impl Stdio {
    /// Stdio as these URIs say; opens nothing yet.
    pub(crate) fn new(process: u32, uris: Uris) -> Result<Self, TaskError> {
        let parsed = [uris.stdin.parse()?, uris.stdout.parse()?, uris.stderr.parse()?];
        Ok(Self {
            process,
            uris,
            parsed,
            stdin: Stdin::default(),
            outputs: Default::default(),
            log: None,
            clients: BTreeMap::new(),
            next_client: 0,
            ended: false,
        })
    }

    /// The URIs, as they were given.
    pub(crate) fn uris(&self) -> &Uris {
        &self.uris
    }

    /// Whether clients can attach.
    pub(crate) fn is_attachable(&self) -> bool {
        self.parsed.iter().any(|uri| matches!(uri, StdioUri::Gantry(_)))
    }

    /// The process is deleted: nothing more is read, but clients and the log still get what was.
    pub(crate) fn wind_up(&mut self, reactor: &mut Reactor) {
        self.ended = true;
        self.stdin.close();
        for stream in 0..2 {
            self.end_output(stream);
            self.outputs[stream].destination = None;
        }
        for client in self.clients.values_mut() {
            client.end(EndReason::Ended);
        }
        self.settle(reactor);
    }

    /// Whether everybody has got everything. A log that was deleted meanwhile needs nothing more.
    pub(crate) fn is_wound_up(&self) -> bool {
        let log_is_done = |log: &Log| log.is_flushed() || log.is_unlinked();
        self.clients.is_empty() && self.log.as_ref().is_none_or(log_is_done)
    }

    /// The process was never started: its clients' streams stay open, so that the daemon can tell
    /// them why.
    pub(crate) fn abandon_attachments(&mut self) {
        self.clients.clear();
    }

    /// Attaches a client, and answers the daemon.
    pub(crate) fn attach(
        &mut self,
        reactor: &mut Reactor,
        request: &AttachRequest,
        stream: OwnedFd,
        control: OwnedFd,
    ) {
        let refuse = |text: &str, kind: base_errors::Kind| {
            let response = AttachResponse { error: text.to_owned(), code: kind.grpc_code() };
            Client::answer(&control, &response);
        };
        if !self.is_attachable() {
            let kind = base_errors::Kind::FailedPrecondition;
            return refuse("the process' stdio does not allow attachment", kind);
        }
        if self.clients.len() >= MAX_CLIENTS {
            return refuse("too many attachments", base_errors::Kind::ResourceExhausted);
        }
        self.next_client += 1;
        let number = self.next_client;
        let mut client = Client::new(reactor, self.process, number, request, stream, control);
        client.reads &= matches!(self.parsed[0], StdioUri::Gantry(_));
        Client::answer(client.control(), &AttachResponse::default());
        if client.reads && !request.buffered_stdin.is_empty() {
            let mut through = Vec::new();
            let detached = client.filter(&request.buffered_stdin, &mut through);
            self.stdin.give(&through);
            if detached {
                client.end(EndReason::Detached);
            }
        }
        if self.ended && self.is_drained() {
            client.end(EndReason::Ended);
        }
        self.clients.insert(number, client);
        self.settle(reactor);
    }

    /// Something happened to one of our descriptors, or it is time to write the log again.
    pub(crate) fn on_event(&mut self, reactor: &mut Reactor, channel: Channel, flags: EventFlags) {
        match channel {
            Channel::Output(stream) => {
                self.pump(usize::from(stream));
            }
            Channel::Sink(_) | Channel::LogRetry => self.flush(),
            Channel::StdinSource => self.stdin.copy_fifo(),
            Channel::StdinSink => {
                self.stdin.flush();
                self.stdin.copy_fifo();
            }
            Channel::Client(number) => self.on_client(number, flags),
            Channel::Control(_) => {}
        }
        self.settle(reactor);
    }

    /// The process has ended: reads what is still in its pipes.
    pub(crate) fn process_ended(&mut self, reactor: &mut Reactor) {
        self.ended = true;
        self.stdin.close();
        for stream in 0..2 {
            let Some(source) = &self.outputs[stream].source else { continue };
            // A terminal's last bytes may still be on their way; its end comes when the last
            // process closes it, or with the caller's deadline.
            if !self.uris.terminal {
                self.outputs[stream].left = Some(rustix::io::ioctl_fionread(source).unwrap_or(0));
            }
            // What comes of a terminal after this turn comes with an event of its own.
            while self.pump(stream) && !self.uris.terminal {}
        }
        self.settle(reactor);
    }

    /// The process has ended, and everything that it wrote until then has been written on.
    pub(crate) fn is_drained(&self) -> bool {
        self.outputs.iter().all(|output| {
            output.source.is_none()
                && output.destination.as_ref().is_none_or(Destination::is_flushed)
        }) && self.log.as_ref().is_none_or(Log::is_flushed)
    }

    /// Whether a log cannot be written now.
    pub(crate) fn is_log_blocked(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.is_flushed())
    }

    /// Waits no longer for a terminal that another process holds open.
    pub(crate) fn give_up_terminal(&mut self, reactor: &mut Reactor) {
        if self.uris.terminal && self.outputs[0].source.is_some() {
            self.pump(0);
            self.end_output(0);
        }
        self.settle(reactor);
    }

    /// `CloseIO`: no more input.
    pub(crate) fn close_stdin(&mut self, reactor: &mut Reactor) {
        match &mut self.stdin.fifo {
            Some(fifo) => {
                fifo.keeper = None;
                self.stdin.copy_fifo();
            }
            // End of input means nothing to a terminal but by the user's own Ctrl-D.
            None if self.uris.terminal => {}
            None => self.stdin.end(),
        }
        self.settle(reactor);
    }

    /// Copies output until there is none for now, something behind is full, or others should
    /// have their turn; true in the last case.
    fn pump(&mut self, stream: usize) -> bool {
        let mut buffer = Vec::with_capacity(READ);
        for _ in 0..READS_IN_A_ROW {
            if self.is_blocked() {
                return false;
            }
            let output = &self.outputs[stream];
            let Some(source) = &output.source else { return false };
            if output.left == Some(0) {
                self.end_output(stream);
                return false;
            }
            if buffer.len() == buffer.capacity() {
                // More than a small read takes: a flood. The large buffer lives as long as it.
                buffer.reserve(FLOOD_READ);
            }
            buffer.clear();
            match rustix::io::read(source, spare_capacity(&mut buffer)) {
                Ok(0) | Err(Errno::IO) => {
                    self.end_output(stream);
                    return false;
                }
                Ok(count) => {
                    if let Some(left) = &mut self.outputs[stream].left {
                        *left = left.saturating_sub(count as u64);
                    }
                    self.deliver(stream, &buffer);
                }
                Err(Errno::INTR) => {}
                Err(_) => {
                    if let Some(log) = &mut self.log {
                        log.rest();
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Hands output on. Errors show as something unflushed, which blocks further reading.
    fn deliver(&mut self, stream: usize, bytes: &[u8]) {
        if let Some(destination) = &mut self.outputs[stream].destination {
            let _ = destination.give(bytes);
            return;
        }
        if let Some(log) = &mut self.log {
            let _ = log.append(stream, bytes);
        }
        let gone: Vec<u32> = self
            .clients
            .iter_mut()
            .filter_map(|(number, client)| (!client.give(stream, bytes)).then_some(*number))
            .collect();
        for number in gone {
            self.drop_client(number, EndReason::ClientGone);
        }
    }

    /// Whether output has to wait. After the process' end clients are no reason any more: what is
    /// left is at most a pipe's content, and the exit should not wait for them.
    fn is_blocked(&self) -> bool {
        self.is_log_blocked()
            || self.outputs.iter().any(|output| {
                output.destination.as_ref().is_some_and(|target| !target.is_flushed())
            })
            || (!self.ended && self.clients.values().any(Client::is_full))
    }

    fn end_output(&mut self, stream: usize) {
        self.outputs[stream].source = None;
        if let Some(log) = &mut self.log {
            let _ = log.finish(stream);
            log.rest();
        }
    }

    /// Writes again what could not be written.
    fn flush(&mut self) {
        if let Some(log) = &mut self.log {
            let _ = log.flush();
        }
        for output in &mut self.outputs {
            if let Some(destination) = &mut output.destination {
                let _ = destination.flush();
            }
        }
        for stream in 0..2 {
            self.pump(stream);
        }
    }

    fn on_client(&mut self, number: u32, flags: EventFlags) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if flags.contains(EventFlags::OUT) && !client.send() {
            return self.drop_client(number, EndReason::ClientGone);
        }
        if client.reads && self.stdin.wants() {
            let mut through = Vec::new();
            let input = client.read(&mut through);
            self.stdin.give(&through);
            match input {
                Input::Bytes | Input::Nothing => {}
                Input::End => self.end_input(number),
                Input::Detached => client.end(EndReason::Detached),
                Input::Gone => return self.drop_client(number, EndReason::ClientGone),
            }
        }
        // A hang-up with nothing left to read: both directions are closed. Bytes that the client
        // sent before it went are still input (`echo x | gantry run -i -d`).
        let hung_up = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        if hung_up && self.clients.get(&number).is_some_and(|client| !client.reads) {
            self.drop_client(number, EndReason::ClientGone);
        }
    }

    /// A client sends no more input. As dockerd: where its input was the process' only one, that
    /// ends too, and the client goes on listening; else the attachment is over.
    fn end_input(&mut self, number: u32) {
        let once = self.is_once();
        let Some(client) = self.clients.get_mut(&number) else { return };
        if once && !self.uris.terminal {
            client.reads = false;
            self.stdin.end();
        } else {
            client.end(EndReason::ClientGone);
        }
    }

    fn is_once(&self) -> bool {
        matches!(&self.parsed[0], StdioUri::Gantry(stdio) if stdio.once)
    }

    fn drop_client(&mut self, number: u32, reason: EndReason) {
        let Some(client) = self.clients.remove(&number) else { return };
        let read = client.reads;
        client.close(reason);
        if read && self.is_once() && !self.uris.terminal {
            self.stdin.end();
        }
    }

    /// After any change: ends what is over, and asks for the events that matter now.
    fn settle(&mut self, reactor: &mut Reactor) {
        if self.ended && self.is_drained() {
            for output in &mut self.outputs {
                output.destination = None;
            }
            for client in self.clients.values_mut() {
                client.end(EndReason::Ended);
            }
        }
        let over: Vec<u32> = self
            .clients
            .iter()
            .filter_map(|(number, client)| client.is_over().then_some(*number))
            .collect();
        for number in over {
            self.drop_client(number, EndReason::Ended);
        }
        let blocked = self.is_blocked();
        for output in &self.outputs {
            if let Some(source) = &output.source {
                source.want(if blocked { EventFlags::empty() } else { EventFlags::IN });
            }
        }
        let (wants_input, is_over) = (self.stdin.wants(), self.stdin.is_ended());
        for client in self.clients.values_mut() {
            client.reads &= !is_over;
            client.rearm(wants_input);
        }
        // A fifo tells when it can be written; a file does not.
        let file_waits = self
            .outputs
            .iter()
            .any(|output| output.destination.as_ref().is_some_and(Destination::needs_retry));
        if self.is_log_blocked() || file_waits {
            reactor.within(RETRY, Source::Stdio(self.process, Channel::LogRetry));
        }
    }
}
