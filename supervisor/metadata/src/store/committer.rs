//! The thread that writes to the index, one commit for everybody who waits.

use super::{Error, Shared};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a lazy change may wait for company.
const LAZY: Duration = Duration::from_secs(1);

/// Ends its thread, after a last commit, when dropped.
pub(super) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let thread = std::thread::Builder::new().name("metadata".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared)
        });
        // Without the thread nothing durable could ever be answered; a process that cannot start
        // one thread while opening its store is of no use.
        Self { shared, thread: Some(thread.expect("the system has room for one more thread")) }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.overlay().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared) {
    let mut overlay = shared.overlay();
    loop {
        let (now, soon) = overlay.due();
        if !now {
            if overlay.closing {
                return;
            }
            if soon {
                let (guard, timeout) = shared
                    .wake
                    .wait_timeout_while(overlay, LAZY, |overlay| {
                        !overlay.due().0 && !overlay.closing
                    })
                    .unwrap_or_else(PoisonError::into_inner);
                overlay = guard;
                if !timeout.timed_out() {
                    continue;
                }
            } else {
                overlay = shared.wake.wait(overlay).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
        }
        let commit = overlay.begin_commit();
        drop(overlay);
        let result = shared.index.apply(&commit.changes).map_err(Arc::new);
        overlay = shared.overlay();
        match &result {
            Ok(()) => overlay.end_commit(commit.generation),
            Err(error) => {
                tracing::error!(error = %base_errors::Chain(error.as_ref()), "metadata not written");
                overlay.fail_commit(commit.generation);
                if overlay.closing {
                    return;
                }
            }
        }
        drop(overlay);
        for waiter in commit.waiting {
            // Whoever asked may have gone.
            let _ = waiter.send(result.clone().map_err(Error::Commit));
        }
        overlay = shared.overlay();
    }
}
