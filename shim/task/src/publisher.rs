//! Events to the supervisor, by `Events.Forward` on its ttrpc socket.
//!
//! In order, one at a time, each until it has been answered. A supervisor that is away finds the
//! events of its absence when it is back, up to a bound; it also learns what it missed by `State`
//! and `Wait`.

use crate::reactor::{Reactor, Source, Watched};
use contracts_shim_api::events::{Envelope, Event, FORWARD, ForwardRequest, SERVICE};
use contracts_shim_api::ttrpc::{self, Decoder, KeyValue, Request};
use contracts_shim_api::types::pack;
use kernel_sys::Errno;
use prost::Message;
use rustix::event::epoll::EventFlags;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect,
    socket_with,
};
use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// Events kept for a supervisor that is away; then the oldest is dropped.
const MAX_QUEUE: usize = 1024;
/// First and longest pause between attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The way to the supervisor.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// The socket's path; empty when nobody wants events.
    address: String,
    namespace: String,
    socket: Option<Watched>,
    decoder: Decoder,
    queue: VecDeque<Request>,
    /// The stream id of the first event in the queue, once it has been sent.
    in_flight: Option<u32>,
    next_stream: u32,
    outgoing: Vec<u8>,
    pause: Duration,
    waiting: bool,
}

impl Publisher {
    pub(crate) fn new(address: &str, namespace: &str) -> Self {
        Self {
            address: address.strip_prefix("unix://").unwrap_or(address).to_owned(),
            namespace: namespace.to_owned(),
            socket: None,
            decoder: Decoder::default(),
            queue: VecDeque::new(),
            in_flight: None,
            next_stream: 1,
            outgoing: Vec::new(),
            pause: PAUSES.0,
            waiting: false,
        }
    }

    /// Sends an event, as soon as the supervisor takes it.
    pub(crate) fn publish<E: Event>(&mut self, reactor: &mut Reactor, event: &E) {
        if self.address.is_empty() {
            return;
        }
        let envelope = Envelope {
            timestamp: Some(SystemTime::now().into()),
            namespace: self.namespace.clone(),
            topic: E::TOPIC.to_owned(),
            event: Some(pack(event)),
        };
        let namespace =
            KeyValue { key: ttrpc::NAMESPACE_KEY.to_owned(), value: self.namespace.clone() };
        let request = Request {
            service: SERVICE.to_owned(),
            method: FORWARD.to_owned(),
            payload: ForwardRequest { envelope: Some(envelope) }.encode_to_vec(),
            timeout_nano: 0,
            metadata: vec![namespace],
        };
        if self.queue.len() >= MAX_QUEUE {
            // The first one may be on its way.
            self.queue.remove(usize::from(self.in_flight.is_some()));
        }
        self.queue.push_back(request);
        self.advance(reactor);
    }

    /// Whether every event has been taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// The socket is ready, or it is time for another attempt.
    pub(crate) fn on_event(&mut self, reactor: &mut Reactor, flags: EventFlags) {
        if flags.is_empty() {
            self.waiting = false;
        } else if self.receive().is_err() {
            return self.lose(reactor);
        }
        self.advance(reactor);
    }

    fn receive(&mut self) -> Result<(), Errno> {
        let mut buffer = [0_u8; 4096];
        loop {
            let Some(socket) = &self.socket else { return Ok(()) };
            match rustix::net::recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Errno::PIPE),
                Ok((count, _)) => self.decoder.push(&buffer[..count]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            while let Some(frame) = self.decoder.next_frame().map_err(|_| Errno::PROTO)? {
                // An event that the supervisor refuses would be refused again: it is done too.
                if self.in_flight == Some(frame.stream) {
                    self.in_flight = None;
                    self.queue.pop_front();
                    self.pause = PAUSES.0;
                }
            }
        }
    }

    fn advance(&mut self, reactor: &mut Reactor) {
        if self.queue.is_empty() || self.waiting {
            return;
        }
        if self.socket.is_none() && self.dial(reactor).is_err() {
            return self.lose(reactor);
        }
        if self.in_flight.is_none() {
            let stream = self.next_stream;
            self.next_stream = self.next_stream.wrapping_add(2);
            match ttrpc::encode(stream, ttrpc::REQUEST, &self.queue[0]) {
                Ok(frame) => {
                    self.outgoing = frame;
                    self.in_flight = Some(stream);
                }
                Err(_) => drop(self.queue.pop_front()),
            }
        }
        if self.send().is_err() {
            self.lose(reactor);
        }
    }

    fn dial(&mut self, reactor: &Reactor) -> Result<(), Errno> {
        let address = SocketAddrUnix::new(self.address.as_str())?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &address)?;
        self.socket = Some(reactor.watch(socket, Source::Publisher, EventFlags::IN));
        Ok(())
    }

    fn send(&mut self) -> Result<(), Errno> {
        let Some(socket) = &self.socket else { return Ok(()) };
        while !self.outgoing.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(socket, &self.outgoing, flags) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    socket.want(EventFlags::IN | EventFlags::OUT);
                    return Ok(());
                }
                Err(errno) => return Err(errno),
            }
        }
        socket.want(EventFlags::IN);
        Ok(())
    }

    /// The connection is lost; what was not answered is sent again later.
    fn lose(&mut self, reactor: &mut Reactor) {
        self.socket = None;
        self.decoder = Decoder::default();
        self.in_flight = None;
        self.outgoing = Vec::new();
        if !self.queue.is_empty() {
            self.waiting = true;
            reactor.after(self.pause, Source::Publisher);
            self.pause = (self.pause * 2).min(PAUSES.1);
        }
    }
}
