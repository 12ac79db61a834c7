//! The way to a process' standard input, from a fifo or from attached clients.

use crate::reactor::{Channel, Reactor, Source, Watched};
use kernel_sys::Errno;
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;

/// Input kept for a process that does not read it; then clients wait.
const MAX_PENDING: usize = 64 << 10;

/// A fifo that input comes from.
#[derive(Debug)]
pub(crate) struct Fifo {
    pub(crate) reader: Watched,
    /// Our own writing end: without it every client that closes the fifo would end the input.
    /// containerd ends it by `CloseIO` alone.
    pub(crate) keeper: Option<OwnedFd>,
}

/// Input on its way.
#[derive(Debug, Default)]
pub(crate) struct Stdin {
    /// The process' end: a pipe or a terminal. Absent before its start and after the end.
    sink: Option<Watched>,
    pub(crate) fifo: Option<Fifo>,
    pending: Vec<u8>,
    sent: usize,
    /// No more comes: close once everything has been written.
    ended: bool,
}

impl Stdin {
    /// The process is there: its input goes to `sink`.
    pub(crate) fn connect(&mut self, reactor: &Reactor, process: u32, sink: OwnedFd) {
        let source = Source::Stdio(process, Channel::StdinSink);
        self.sink = Some(reactor.watch(sink, source, EventFlags::empty()));
        self.flush();
    }

    /// Takes input.
    pub(crate) fn give(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.pending.extend_from_slice(bytes);
            self.flush();
        }
    }

    /// Closes the process' input once it has got everything.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.flush();
    }

    /// Closes it now; nobody reads any more.
    pub(crate) fn close(&mut self) {
        *self = Self { ended: true, ..Self::default() };
    }

    /// Whether no input is taken any more.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether more input is wanted now.
    pub(crate) fn wants(&self) -> bool {
        !self.ended && self.pending.len() - self.sent < MAX_PENDING
    }

    /// Writes what the process takes.
    pub(crate) fn flush(&mut self) {
        let Some(sink) = &self.sink else { return };
        while self.sent < self.pending.len() {
            match rustix::io::write(sink, &self.pending[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return sink.want(EventFlags::OUT),
                // The process has closed its input: later input goes nowhere, as in a shell.
                Err(_) => return self.close(),
            }
        }
        sink.want(EventFlags::empty());
        self.sent = 0;
        self.pending = Vec::new();
        if self.ended {
            self.sink = None;
        }
    }

    /// Reads from the fifo until it is empty or the process is behind.
    pub(crate) fn copy_fifo(&mut self) {
        while self.wants() {
            let Some(fifo) = &self.fifo else { return };
            let mut buffer = [0_u8; 4 << 10];
            match rustix::io::read(&fifo.reader, &mut buffer) {
                Ok(0) => {
                    self.fifo = None;
                    self.end();
                }
                Ok(count) => self.give(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.fifo = None,
            }
        }
        self.rearm();
    }

    /// Watches the fifo when its bytes are wanted.
    pub(crate) fn rearm(&self) {
        if let Some(fifo) = &self.fifo {
            fifo.reader.want(if self.wants() { EventFlags::IN } else { EventFlags::empty() });
        }
    }
}
