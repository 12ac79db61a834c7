//! A process of a container, its init or an exec: its state, and who waits for its end.
//!
//! ```text
//! init  Creating ─► Created ─► Starting ─► Running ◄─► Paused
//! exec               Added ──► Starting ─► Running
//!                                            │
//!                   Stopped ◄── Draining ◄───┘   (also from Created and Paused)
//! ```
//!
//! A request that a state does not allow is answered by the state, with its name.

use crate::connection::Reply;
use crate::error::TaskError;
use crate::stdio::Stdio;
use contracts_shim_api::task::{StateResponse, WaitResponse};
use contracts_shim_api::types::TaskStatus;
use prost_types::Timestamp;
use rustix::fd::OwnedFd;
use rustix::process::WaitStatus;
use std::time::{Duration, Instant, SystemTime};

/// How and when a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code, or 128 + the number of the signal that killed it.
    pub(crate) status: u32,
    pub(crate) at: Timestamp,
    /// The same on a clock that nobody sets.
    seen: Instant,
}

impl Exit {
    /// The end of a process that was reaped just now.
    pub(crate) fn now(status: WaitStatus) -> Self {
        let code = status.exit_status();
        let signal = status.terminating_signal().map(|signal| 128 + signal);
        let status = code.or(signal).unwrap_or(255);
        Self::at_once(u32::try_from(status).unwrap_or(255))
    }

    /// An end now, with this status.
    pub(crate) fn at_once(status: u32) -> Self {
        Self { status, at: SystemTime::now().into(), seen: Instant::now() }
    }

    /// The answer to `Wait`.
    pub(crate) fn as_answer(&self) -> WaitResponse {
        WaitResponse { exit_status: self.status, exited_at: Some(self.at) }
    }

    /// How long ago that was.
    pub(crate) fn age(&self) -> Duration {
        self.seen.elapsed()
    }
}

/// What a process is doing.
#[derive(Debug)]
pub(crate) enum State {
    /// Init: a worker makes the container.
    Creating,
    /// Init: ready for `Start`.
    Created {
        /// Whether the start takes a worker.
        waits_at_start: bool,
    },
    /// Exec: to be made at `Start`, from this OCI process document.
    Added(Vec<u8>),
    /// It is being started. It may have ended before that is told.
    Starting(Option<Exit>),
    /// The program runs.
    Running,
    /// Init: the container is frozen.
    Paused,
    /// It has ended; its last output is on its way to the log.
    Draining(Exit),
    /// It has ended, and everybody has been told.
    Stopped(Exit),
    /// A worker removes what belonged to the container.
    Deleting(Exit),
}

impl State {
    /// The name in refusals.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created { .. } | Self::Added(_) => "created",
            Self::Starting(_) => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining(_) | Self::Stopped(_) => "stopped",
            Self::Deleting(_) => "deleted",
        }
    }

    /// The refusal of a request.
    pub(crate) const fn refuse(&self, verb: &'static str) -> TaskError {
        TaskError::State { verb, state: self.name() }
    }

    /// The exit, once everybody may know.
    pub(crate) const fn exit(&self) -> Option<Exit> {
        match self {
            Self::Stopped(exit) | Self::Deleting(exit) => Some(*exit),
            _ => None,
        }
    }

    /// Whether its end has not been seen yet.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.is_alive() || matches!(self, Self::Starting(_))
    }

    /// Whether there is a process to signal.
    pub(crate) const fn is_alive(&self) -> bool {
        matches!(self, Self::Created { .. } | Self::Starting(None) | Self::Running | Self::Paused)
    }

    fn status(&self) -> TaskStatus {
        match self {
            Self::Creating => TaskStatus::Unknown,
            Self::Created { .. } | Self::Added(_) => TaskStatus::Created,
            Self::Starting(_) | Self::Running | Self::Draining(_) => TaskStatus::Running,
            Self::Paused => TaskStatus::Paused,
            Self::Stopped(_) | Self::Deleting(_) => TaskStatus::Stopped,
        }
    }
}

/// A process.
#[derive(Debug)]
pub(crate) struct Process {
    /// The container's id.
    pub(crate) container: String,
    /// The exec's id; empty for init.
    pub(crate) exec_id: String,
    pub(crate) state: State,
    /// 0 until it is known.
    pub(crate) pid: u32,
    pub(crate) pidfd: Option<OwnedFd>,
    /// The master of its terminal.
    pub(crate) console: Option<OwnedFd>,
    pub(crate) stdio: Stdio,
    /// Calls of `Wait` to be answered.
    pub(crate) waiters: Vec<Reply>,
}

impl Process {
    pub(crate) fn new(container: &str, exec_id: &str, state: State, stdio: Stdio) -> Self {
        Self {
            container: container.to_owned(),
            exec_id: exec_id.to_owned(),
            state,
            pid: 0,
            pidfd: None,
            console: None,
            stdio,
            waiters: Vec::new(),
        }
    }

    /// The id in events: the exec's, or the container's again.
    pub(crate) fn id(&self) -> &str {
        if self.exec_id.is_empty() { &self.container } else { &self.exec_id }
    }

    /// The answer to `State`.
    pub(crate) fn describe(&self, bundle: &str) -> StateResponse {
        let uris = self.stdio.uris();
        let exit = self.state.exit();
        StateResponse {
            id: self.container.clone(),
            bundle: bundle.to_owned(),
            pid: self.pid,
            status: self.state.status().into(),
            stdin: uris.stdin.clone(),
            stdout: uris.stdout.clone(),
            stderr: uris.stderr.clone(),
            terminal: uris.terminal,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at),
            exec_id: self.exec_id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdio::Uris;

    #[test]
    fn a_process_that_is_being_drained_still_runs_for_everybody_else() {
        let stdio = Stdio::new(1, Uris::default()).unwrap();
        let exit = Exit::at_once(137);
        let mut process = Process::new("c", "", State::Draining(exit), stdio);
        assert_eq!(process.describe("/b").status(), TaskStatus::Running);
        process.state = State::Stopped(exit);
        let state = process.describe("/b");
        assert_eq!((state.status(), state.exit_status), (TaskStatus::Stopped, 137));
        assert_eq!(process.state.refuse("start").to_string(), "cannot start a stopped process");
    }
}
