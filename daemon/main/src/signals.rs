//! The signals that the daemon knows; none of them is lost while something else is done.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGTERM, SIGINT: end.
    End,
    /// SIGHUP: read the configuration file again.
    Reload,
    /// SIGUSR1: tell what is going on. dockerd writes its goroutines' stacks to a file.
    Report,
}

/// The signals, caught.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next one. Cancel-safe: a signal that was not received stays pending.
    pub(crate) async fn next(&mut self) -> Request {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Request::End,
            _ = self.interrupt.recv() => Request::End,
            _ = self.hangup.recv() => Request::Reload,
            _ = self.user.recv() => Request::Report,
        }
    }

    /// The next one that asks for the end; the others, which cannot be served yet, are dropped.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Request::End {}
    }
}
