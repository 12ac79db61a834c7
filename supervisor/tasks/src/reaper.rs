//! All children of this program: those it starts, and those it inherits.
//!
//! The supervisor is a subreaper, so that a dead shim's container, and a shim itself, become its
//! children and not those of a process 1 that may not care. So children that nobody here knows
//! end at any time, and one place must reap them all: nothing else in this program may wait.

use std::collections::HashMap;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Starts children and learns how they end. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reaper {
    awaited: Arc<Mutex<HashMap<i32, oneshot::Sender<ExitStatus>>>>,
}

impl Reaper {
    /// Makes this program a subreaper and starts to reap; must be called inside a runtime.
    ///
    /// # Errors
    /// The signal handler cannot be installed.
    pub fn start() -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let mut ended = signal(SignalKind::child())?;
        let reaper = Self::default();
        tokio::spawn({
            let reaper = reaper.clone();
            async move {
                // Signals coalesce, hence all who have ended each time.
                while ended.recv().await.is_some() {
                    reaper.reap();
                }
            }
        });
        Ok(reaper)
    }

    /// Starts a program; the receiver tells how it ended. It must not be waited for otherwise.
    pub(crate) fn spawn(
        &self,
        command: &mut Command,
    ) -> io::Result<(Child, oneshot::Receiver<ExitStatus>)> {
        let (sender, receiver) = oneshot::channel();
        // Held across the start, so that the child cannot be reaped before it is known.
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        awaited.insert(child.id().cast_signed(), sender);
        Ok((child, receiver))
    }

    fn reap(&self) {
        use std::os::unix::process::ExitStatusExt;
        loop {
            let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if let Some(waiter) = awaited.remove(&pid.as_raw_nonzero().get()) {
                        // Whoever started it may not care any more.
                        let _ = waiter.send(ExitStatus::from_raw(status.as_raw()));
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}
