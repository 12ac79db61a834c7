//! One task, from its shim's launch to the collection of its exit status.
//!
//! ```text
//!            Wait answered                     deleted
//!   alive ───────────────────▶ alive, exited ──────────▶ (leaving) ─▶ gone
//!     │ shim died                    │ shim died              ▲
//!     ▼                              ▼                        │ deleted
//!   dead: `delete` action run, exit recorded, status kept ────┘
//! ```

use crate::Error;
use crate::binary::{self, Surroundings};
use crate::bundle::{Bundle, ShimRecord};
use crate::shim::{Scope, Shim};
use base_errors::Chain;
use contracts_shim_api::exit::ExitRecord;
use contracts_shim_api::task::{StateResponse, WaitResponse};
use contracts_shim_api::types::TaskStatus;
use contracts_supervisor_api::events::TaskExit;
use contracts_supervisor_api::topics;
use prost_types::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use supervisor_events::Exchange;
use tokio::sync::watch;

/// The status of a process that nobody saw end: as if killed, 128 + SIGKILL.
const KILLED: u32 = 137;
/// How long the shim may take to announce an exit that `Wait` has told of. Its announcement comes
/// behind that of the start, which an event of ours could overtake.
const ANNOUNCEMENT: Duration = Duration::from_secs(1);

const EXIT_SEEN: &base_faults::Step = base_faults::step("supervisor.stop.exit-seen");

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its status; 128 + the signal's number when a signal ended it.
    pub status: u32,
    /// When.
    pub at: Timestamp,
}

impl Exit {
    pub(crate) fn killed_now() -> Self {
        Self { status: KILLED, at: SystemTime::now().into() }
    }
}

impl From<WaitResponse> for Exit {
    fn from(response: WaitResponse) -> Self {
        let at = response.exited_at.unwrap_or_else(|| SystemTime::now().into());
        Self { status: response.exit_status, at }
    }
}

/// A task and all that is known of it.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) bundle: Bundle,
    pub(crate) record: ShimRecord,
    /// `None` when it was dead already when this supervisor found it.
    shim: Option<Shim>,
    dead: AtomicBool,
    leaving: watch::Sender<bool>,
    announced: AtomicBool,
    pub(crate) pid: AtomicU32,
    exit: watch::Sender<Option<Exit>>,
    /// Follows the shim's log fifo.
    log: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.abort();
        }
    }
}

impl Task {
    pub(crate) fn new(
        (namespace, id): (&str, &str),
        bundle: Bundle,
        record: ShimRecord,
        shim: Option<Shim>,
        log: Option<tokio::task::JoinHandle<()>>,
    ) -> Self {
        Self {
            namespace: namespace.to_owned(),
            id: id.to_owned(),
            bundle,
            record,
            dead: AtomicBool::new(shim.is_none()),
            shim,
            leaving: watch::Sender::new(false),
            announced: AtomicBool::new(false),
            pid: AtomicU32::new(0),
            exit: watch::Sender::new(None),
            log,
        }
    }

    /// The shim, while it lives.
    pub(crate) fn shim(&self) -> Result<&Shim, Error> {
        let alive = !self.dead.load(Ordering::Acquire);
        self.shim.as_ref().filter(|_| alive).ok_or_else(|| Error::ShimGone(self.id.clone()))
    }

    /// How the init process ended; waits until it has.
    pub(crate) async fn exited(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        match exit.wait_for(Option::is_some).await.map(|exit| exit.clone()) {
            Ok(Some(exit)) => exit,
            _ => unreachable!("the sender is owned by the task that is borrowed here"),
        }
    }

    /// What is left of a task whose shim has died, in the form of its shim's answer.
    pub(crate) async fn epitaph(&self) -> StateResponse {
        let exit = self.exited().await;
        StateResponse {
            id: self.id.clone(),
            bundle: self.bundle.path().to_string_lossy().into_owned(),
            pid: self.pid.load(Ordering::Relaxed),
            status: TaskStatus::Stopped.into(),
            exit_status: exit.status,
            exited_at: Some(exit.at),
            ..StateResponse::default()
        }
    }

    /// Says that the task is deleted, and the shim's end is nothing to clean up after.
    pub(crate) fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// Completes when the task is deleted.
    async fn left(&self) {
        // The sender is owned by the task that is borrowed here, so this is no error.
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// Tells whether this is the first announcement of the init's exit.
    pub(crate) fn announce_once(&self) -> bool {
        !self.announced.swap(true, Ordering::AcqRel)
    }

    fn announce(&self, events: &Exchange, exit: &Exit) {
        if self.announce_once() {
            let event = TaskExit {
                container_id: self.id.clone(),
                id: self.id.clone(),
                pid: self.pid.load(Ordering::Relaxed),
                exit_status: exit.status,
                exited_at: Some(exit.at),
            };
            events.publish(&self.namespace, topics::TASK_EXIT, &event);
        }
    }

    /// Holds a `Wait` on the task and watches its shim, until the shim has gone or the task was
    /// deleted (the shim may serve others).
    pub(crate) async fn watch(self: Arc<Self>, around: Surroundings, events: Exchange) {
        let scope = Scope::own(&self.namespace);
        if let Some(shim) = &self.shim {
            match shim.wait(&scope, &self.id, "").await {
                Ok(response) => {
                    base_faults::reach(EXIT_SEEN);
                    let exit = Exit::from(response);
                    self.exit.send_replace(Some(exit.clone()));
                    let announced = tokio::time::timeout(ANNOUNCEMENT, shim.gone()).await;
                    if announced.is_err() || !*self.leaving.borrow() {
                        self.announce(&events, &exit);
                    }
                }
                Err(Error::Closed) => {}
                Err(error) => {
                    tracing::error!(
                        container = %self.id, error = %Chain(&error), "cannot wait for task"
                    );
                    // Without a task it has no reason to stay, and this one no way to end.
                    if let Err(error) = shim.shut_down(&scope, &self.id).await {
                        let error = Chain(&error);
                        tracing::warn!(container = %self.id, %error, "shim does not leave");
                    }
                }
            }
            tokio::select! {
                // Cancel-safe: both only look.
                () = shim.gone() => {}
                () = self.left() => {}
            }
        }
        if !*self.leaving.borrow() {
            self.bury(&scope, &around, &events).await;
        }
    }

    /// Cleans up after a shim that died, and keeps the exit status for whoever asks.
    pub(crate) async fn bury(&self, scope: &Scope, around: &Surroundings, events: &Exchange) {
        tracing::warn!(container = %self.id, namespace = %self.namespace, "shim died");
        self.dead.store(true, Ordering::Release);
        let (program, path) = (&self.record.program, self.bundle.path());
        let deleted = binary::delete(around, program, scope, &self.id, path).await;
        let seen = self.exit.borrow().clone();
        let recorded = self
            .bundle
            .exit()
            .and_then(|record| Some(Exit { status: record.exit_status, at: record.timestamp()? }));
        let told = match deleted {
            Ok(response) => {
                let pid = response.pid;
                let _ = self.pid.compare_exchange(0, pid, Ordering::Relaxed, Ordering::Relaxed);
                // Whatever status it tells, the one thing known is that its keeper was killed.
                response.exited_at.map(|at| Exit { status: KILLED, at })
            }
            Err(error) => {
                tracing::error!(
                    container = %self.id, error = %Chain(&error), "cannot clean up after shim"
                );
                None
            }
        };
        let exit = seen.or(recorded).or(told).unwrap_or_else(Exit::killed_now);
        if self.bundle.exit().is_none() {
            let pid = self.pid.load(Ordering::Relaxed);
            let record = ExitRecord::new(pid, exit.status, &exit.at);
            if let Err(error) = self.bundle.write_exit(&record) {
                tracing::warn!(container = %self.id, error = %Chain(&error), "exit not recorded");
            }
        }
        around.remove_socket(self.record.address.as_deref()).await;
        self.exit.send_replace(Some(exit.clone()));
        self.announce(events, &exit);
    }
}
