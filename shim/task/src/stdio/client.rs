//! One attachment: a client's stream, and the connection on which the daemon asked for it.

use super::detach::DetachKeys;
use crate::reactor::{Channel, Reactor, Source, Watched};
use contracts_shim_api::attach::{
    self, AttachEnd, AttachRequest, AttachResponse, EndReason, Framing,
};
use kernel_sys::Errno;
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

/// Output kept for a client that is slower than the container; then the container waits.
pub(crate) const MAX_BUFFER: usize = 1 << 20;

/// What became of reading from a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Some bytes, after the detach keys were taken out.
    Bytes,
    /// Nothing for now.
    Nothing,
    /// The client sends no more, but may still listen.
    End,
    /// The client typed the detach keys.
    Detached,
    /// The client's stream is broken.
    Gone,
}

/// An attached client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Watched,
    control: Watched,
    streams: [bool; 2],
    framing: Framing,
    keys: DetachKeys,
    /// Whether input is taken from it.
    pub(crate) reads: bool,
    outgoing: Vec<u8>,
    sent: usize,
    /// Why it ends, once it has been sent everything.
    ending: Option<EndReason>,
}

impl Client {
    /// Attaches the client whose stream is `stream`, for process `process`.
    pub(crate) fn new(
        reactor: &Reactor,
        process: u32,
        number: u32,
        request: &AttachRequest,
        stream: OwnedFd,
        control: OwnedFd,
    ) -> Self {
        let source = |channel| Source::Stdio(process, channel);
        Self {
            stream: reactor.watch(stream, source(Channel::Client(number)), EventFlags::HUP),
            control: reactor.watch(control, source(Channel::Control(number)), EventFlags::empty()),
            streams: [request.stdout, request.stderr],
            framing: request.framing(),
            keys: DetachKeys::new(request.detach_keys.clone()),
            reads: request.stdin,
            outgoing: Vec::new(),
            sent: 0,
            ending: None,
        }
    }

    /// Tells the daemon that the client is attached, or why not.
    pub(crate) fn answer(control: impl rustix::fd::AsFd, response: &AttachResponse) {
        if let Ok(frame) = attach::encode(response) {
            // A vanished daemon is no reason to drop its client.
            let _ = rustix::net::send(control, &frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }

    /// The connection on which the daemon asked for this attachment.
    pub(crate) fn control(&self) -> &Watched {
        &self.control
    }

    /// Applies the detach keys to input that the daemon had read already.
    pub(crate) fn filter(&mut self, bytes: &[u8], through: &mut Vec<u8>) -> bool {
        self.keys.filter(bytes, through)
    }

    /// Reads what the client sends next, appending input to `through`.
    pub(crate) fn read(&mut self, through: &mut Vec<u8>) -> Input {
        let mut buffer = [0_u8; 4 << 10];
        match rustix::net::recv(&self.stream, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Input::End,
            Ok((count, _)) if self.keys.filter(&buffer[..count], through) => Input::Detached,
            Ok(_) => Input::Bytes,
            Err(Errno::AGAIN | Errno::INTR) => Input::Nothing,
            Err(_) => Input::Gone,
        }
    }

    /// Takes output for the client, if it wants that stream (0 stdout, 1 stderr); false when the
    /// client is gone.
    pub(crate) fn give(&mut self, stream: usize, bytes: &[u8]) -> bool {
        if !self.streams[stream] || self.ending.is_some() {
            return true;
        }
        if self.framing == Framing::Multiplexed {
            let length = u32::try_from(bytes.len()).expect("a read is far below 4 GiB");
            self.outgoing.extend_from_slice(&[stream as u8 + 1, 0, 0, 0]);
            self.outgoing.extend_from_slice(&length.to_be_bytes());
        }
        self.outgoing.extend_from_slice(bytes);
        self.send()
    }

    /// Sends what it can; false when the client is gone.
    pub(crate) fn send(&mut self) -> bool {
        while self.sent < self.outgoing.len() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.stream, &self.outgoing[self.sent..], flags) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if self.sent >= MAX_BUFFER / 2 {
                        self.outgoing.drain(..self.sent);
                        self.sent = 0;
                    }
                    return true;
                }
                Err(_) => return false,
            }
        }
        self.sent = 0;
        self.outgoing = Vec::new();
        true
    }

    /// Whether output must wait for this client.
    pub(crate) fn is_full(&self) -> bool {
        self.outgoing.len() - self.sent >= MAX_BUFFER
    }

    /// Whether nothing waits to be sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Ends the attachment once everything has been sent.
    pub(crate) fn end(&mut self, reason: EndReason) {
        self.ending.get_or_insert(reason);
        self.reads = false;
    }

    /// Whether the attachment is over and everything has been sent.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.is_some() && self.is_sent()
    }

    /// Asks for the events that matter now. While its input has to wait, a hang-up has to wait
    /// too: what the client sent before it is still input.
    pub(crate) fn rearm(&self, wants_input: bool) {
        let mut flags = match (self.reads, wants_input) {
            (true, true) => EventFlags::IN | EventFlags::HUP,
            (true, false) => EventFlags::empty(),
            (false, _) => EventFlags::HUP,
        };
        if !self.is_sent() {
            flags |= EventFlags::OUT;
        }
        self.stream.want(flags);
    }

    /// Says goodbye: the client sees the end of its stream, the daemon the reason.
    pub(crate) fn close(self, reason: EndReason) {
        // The daemon holds the same connection; shutting it down ends it for all of us, even when
        // the daemon is dead.
        let _ = rustix::net::shutdown(&self.stream, Shutdown::Write);
        let reason = self.ending.unwrap_or(reason);
        if let Ok(frame) = attach::encode(&AttachEnd { reason: reason.into() }) {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let _ = rustix::net::send(&self.control, &frame, flags);
        }
    }
}
