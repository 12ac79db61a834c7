//! A fifo or file that output is copied to as it is.

use crate::error::TaskError;
use crate::reactor::{Channel, Reactor, Source, Watched};
use kernel_sys::Errno;
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use std::path::Path;

/// Where a copied stream goes to.
#[derive(Debug)]
pub(crate) struct Destination {
    target: Watched,
    pending: Vec<u8>,
    sent: usize,
    /// The last write failed, and nothing will tell when the next may succeed.
    failed: bool,
}

impl Destination {
    /// Opens a fifo so that opening never waits for a reader and a vanished reader is no error:
    /// what it does not read waits for the next one, as in containerd's shims. A path that is no
    /// fifo is a file to append to.
    pub(crate) fn open(
        reactor: &Reactor,
        process: u32,
        stream: usize,
        path: &Path,
    ) -> Result<Self, TaskError> {
        let is_fifo = rustix::fs::stat(path)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let flags = if is_fifo {
            OFlags::RDWR | OFlags::NONBLOCK
        } else {
            OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND
        };
        let file = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
            .map_err(|errno| TaskError::Open { path: path.into(), source: errno.into() })?;
        Ok(Self::new(reactor, process, stream, file))
    }

    /// A destination that is open already.
    pub(crate) fn new(reactor: &Reactor, process: u32, stream: usize, file: OwnedFd) -> Self {
        let source = Source::Stdio(process, Channel::Sink(stream as u8));
        let target = reactor.watch(file, source, EventFlags::empty());
        Self { target, pending: Vec::new(), sent: 0, failed: false }
    }

    /// Takes output.
    ///
    /// # Errors
    /// As for [`Destination::flush`].
    pub(crate) fn give(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    /// Writes what it can.
    ///
    /// # Errors
    /// A full disk, or another reason to try again later.
    pub(crate) fn flush(&mut self) -> Result<(), Errno> {
        self.failed = false;
        while self.sent < self.pending.len() {
            match rustix::io::write(&self.target, &self.pending[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.target.want(EventFlags::OUT);
                    return Ok(());
                }
                Err(errno) => {
                    self.failed = true;
                    return Err(errno);
                }
            }
        }
        self.target.want(EventFlags::empty());
        self.sent = 0;
        self.pending = Vec::new();
        Ok(())
    }

    /// Whether writing must be tried again after a pause.
    pub(crate) fn needs_retry(&self) -> bool {
        self.failed
    }

    /// Whether everything taken has been written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.pending.is_empty()
    }
}
