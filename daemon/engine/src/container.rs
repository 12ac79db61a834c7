//! Containers: what is known about each, and the one task that may change it.
//!
//! ```text
//!              start                    started
//!   Resting ──────────► Starting ─────────────────► Running ◄──► (paused)
//!      ▲   ▲                │ failed                   │ exited
//!      │   └────────────────┘                          ▼
//!      │                 no restart                 Ending (ports and addresses are being freed)
//!      ├───────────────────────────────────────────────┤
//!      │ remove                     policy says again  ▼
//!      ▼                                            Waiting ──(delay over)──► Starting
//!   Removing ──► Gone
//! ```
//!
//! The driver (`driver`) is a task that takes commands one after the other. Slow steps run in
//! tasks of their own, which report their end as another command; so a ten-second stop is just a
//! job beside a driver that answers everything else meanwhile. What others need to know is
//! published in a [`View`].

mod attach;
mod create;
mod driver;
mod exit;
mod health;
mod inspect;
mod list;
mod logs;
mod names;
mod remove;
mod request;
mod start;
mod stop;
mod table;

pub(crate) use attach::{Connected, connect, detach_keys};
pub(crate) use driver::{Command, spawn};
pub(crate) use exit::{forget, wait as wait_for_exit};
pub(crate) use health::Check;
pub(crate) use names::NameSource;
pub(crate) use remove::clean;
pub(crate) use start::{accounts, attach_socket, root_view, rootfs, start_failure};
pub(crate) use table::Containers;

use crate::record::{ConfigRecord, Phase, StateRecord};
use base_ids::{ContainerId, ExecId};
use contracts_supervisor_api::types;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// How many commands wait for a driver. Each is answered at once or becomes a job, so that the
/// queue is only long while many ask at the same instant.
const COMMANDS: usize = 32;

/// One container.
pub(crate) struct Container {
    pub(crate) record: ConfigRecord,
    /// Its folder: records, name files, log.
    pub(crate) folder: PathBuf,
    view: watch::Sender<View>,
    commands: mpsc::Sender<Command>,
    /// How the root file system is mounted, as `Prepare` said; asked for again after a restart.
    rootfs: Mutex<Option<Vec<types::Mount>>>,
    /// Attachments that wait for its task.
    gate: tokio::sync::Mutex<attach::Gate>,
    /// Attachments that are about to.
    promised: attach::Promised,
    /// Its exec sessions.
    pub(crate) execs: Mutex<Vec<ExecId>>,
    pub(crate) stats: crate::stats::Hub,
}

/// What is known about a container now.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) state: StateRecord,
    /// How often it has exited while we knew it.
    pub(crate) exits: u64,
    /// Its last exit code, once it has been removed.
    pub(crate) removed: Option<i64>,
}

impl View {
    /// Whether a task runs, frozen or not; also while waiting to be started again, as in dockerd.
    pub(crate) fn running(&self) -> bool {
        matches!(self.state.phase, Phase::Running | Phase::Paused | Phase::Restarting)
    }

    /// Whether a process is there that signals and execs reach.
    pub(crate) fn has_task(&self) -> bool {
        matches!(self.state.phase, Phase::Running | Phase::Paused)
    }
}

impl Container {
    /// A container in a state; its driver is not there yet.
    pub(crate) fn new(
        record: ConfigRecord,
        state: StateRecord,
        folder: PathBuf,
        rootfs: Option<Vec<types::Mount>>,
    ) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let view = watch::Sender::new(View { state, exits: 0, removed: None });
        let container = Self {
            record,
            folder,
            view,
            commands,
            rootfs: Mutex::new(rootfs),
            gate: tokio::sync::Mutex::default(),
            promised: attach::Promised::default(),
            execs: Mutex::default(),
            stats: crate::stats::Hub::default(),
        };
        (Arc::new(container), receiver)
    }

    /// Its id.
    pub(crate) const fn id(&self) -> &ContainerId {
        &self.record.id
    }

    /// Whether it goes when it ends.
    pub(crate) const fn auto_remove(&self) -> bool {
        self.record.host_config.auto_remove
    }

    /// What is known now.
    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// To wait for what will be known.
    pub(crate) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Where its log is, when it has one.
    pub(crate) fn log_path(&self) -> Option<PathBuf> {
        (self.record.host_config.log_config.driver == "json-file")
            .then(|| self.folder.join(format!("{}-json.log", self.id())))
    }

    /// What events say about it: name, image and labels.
    pub(crate) fn event_attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = self.record.config.labels.clone().unwrap_or_default();
        attributes.insert("image".to_owned(), self.record.config.image.clone());
        attributes.insert("name".to_owned(), self.record.name.clone());
        attributes
    }

    /// How its root file system is mounted, where that is known.
    pub(crate) fn known_rootfs(&self) -> Option<Vec<types::Mount>> {
        self.rootfs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers how its root file system is mounted.
    pub(crate) fn remember_rootfs(&self, mounts: &[types::Mount]) {
        *self.rootfs.lock().unwrap_or_else(PoisonError::into_inner) = Some(mounts.to_vec());
    }
}

/// Whether a start is under way, so that "not running" is not true yet for who asks.
pub(crate) const fn coming_or_going(phase: Phase) -> bool {
    matches!(phase, Phase::Starting)
}
