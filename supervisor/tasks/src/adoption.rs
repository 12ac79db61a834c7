//! Finding again, after a restart, what an earlier supervisor had running.
//!
//! | found | done |
//! |---|---|
//! | shim answers and knows the task | adopted, with a new `Wait` |
//! | shim answers, has no task | half-made or deleted: shut down unless others use it, bundle removed |
//! | a later supervisor's record | left alone |
//! | no shim, but a task had been created | buried: `delete` action, exit kept until collected |
//! | no shim, no task yet | `delete` action, bundle removed |

use crate::bundle::{self, Bundle, ShimRecord};
use crate::shim::{Scope, Shim};
use crate::task::Task;
use crate::tasks::{Tasks, is_program, is_unknown};
use crate::{Error, binary, log_pipe};
use base_errors::Chain;
use contracts_shim_api::bootstrap::BootstrapParams;
use contracts_supervisor_api::metadata::is_identifier;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a shim may take to tell its state; nothing is served before all have.
const PATIENCE: Duration = Duration::from_secs(3);
/// Shims that are asked at the same time.
const AT_ONCE: usize = 16;

impl Tasks {
    /// Adopts every task there is. Nothing else may use these tasks before it has answered.
    ///
    /// # Errors
    /// The bundles cannot be listed; what is wrong with a single one is logged.
    pub async fn adopt(&self) -> Result<(), Error> {
        let layout = &self.around().layout;
        let mut waiting = bundle::list(layout).map_err(|source| Error::Bundle {
            what: "list",
            path: layout.tasks(),
            source,
        })?;
        let mut running = JoinSet::new();
        let mut empty = Vec::new();
        loop {
            while running.len() < AT_ONCE
                && let Some((namespace, id)) = waiting.pop()
            {
                if !is_identifier(&namespace) || !is_identifier(&id) {
                    tracing::warn!(%namespace, container = %id, "not a bundle's name");
                    continue;
                }
                let tasks = self.clone();
                running.spawn(async move { tasks.adopt_one(&namespace, &id).await });
            }
            match running.join_next().await {
                Some(found) => empty.extend(found.ok().flatten()),
                None => break,
            }
        }
        // Only now is it known whose shims are shared.
        let mut leaving = JoinSet::new();
        for Empty { scope, id, bundle, shim, address } in empty {
            tracing::info!(container = %id, namespace = scope.namespace, "no task in its shim");
            let tasks = self.clone();
            leaving.spawn(async move {
                tasks.shut_down(&shim, &scope, &id, &address).await;
                tasks.discard(&bundle, &id);
            });
        }
        while leaving.join_next().await.is_some() {}
        self.remove_dead_sockets().await;
        Ok(())
    }

    /// Removes the sockets of shims that no task has: they left while nobody looked.
    async fn remove_dead_sockets(&self) {
        let sockets = std::fs::read_dir(self.around().layout.sockets());
        for socket in sockets.into_iter().flatten().flatten() {
            let address = format!("unix://{}", socket.path().display());
            self.around().remove_socket(Some(&address)).await;
        }
    }

    async fn adopt_one(&self, namespace: &str, id: &str) -> Option<Empty> {
        let bundle = Bundle::of(&self.around().layout, namespace, id);
        let scope = Scope::own(namespace);
        let record = match bundle.shim() {
            Ok(Some(record)) => record,
            Ok(None) => {
                tracing::info!(container = %id, namespace, "half-made bundle removed");
                self.discard(&bundle, id);
                return None;
            }
            Err(error) => {
                // Its container may run; whoever understands the record finds it again.
                tracing::error!(
                    container = %id, namespace, error = %Chain(&error), "task left alone"
                );
                return None;
            }
        };
        // Before anything is asked: a stock shim that just starts waits for its log's reader.
        let log = if binary::is_gantry(&record.program) {
            None
        } else {
            log_pipe::follow(bundle.path(), id).ok()
        };
        match Self::find_shim(&scope, id, &record).await {
            Found::Task { shim, pid } => {
                tracing::info!(container = %id, namespace, "task adopted");
                let pid = pid.or_else(|| bundle.init_pid()).unwrap_or_default();
                let task = Task::new((namespace, id), bundle, record, Some(shim), log);
                task.pid.store(pid, Ordering::Relaxed);
                self.insert((namespace.to_owned(), id.to_owned()), task);
            }
            Found::Empty(shim) => {
                let address = record.address.unwrap_or_default();
                return Some(Empty { scope, id: id.to_owned(), bundle, shim, address });
            }
            Found::Nothing if bundle.exit().is_some() || bundle.init_pid().is_some() => {
                let pid = bundle.init_pid().unwrap_or_default();
                let task = Task::new((namespace, id), bundle, record, None, None);
                task.pid.store(pid, Ordering::Relaxed);
                // Its watch, which begins now, buries it.
                self.insert((namespace.to_owned(), id.to_owned()), task);
            }
            Found::Nothing => {
                tracing::info!(container = %id, namespace, "task that was never made removed");
                if is_program(&record.program)
                    && let Err(error) =
                        binary::delete(self.around(), &record.program, &scope, id, bundle.path())
                            .await
                {
                    tracing::warn!(container = %id, error = %Chain(&error), "clean-up failed");
                }
                self.discard(&bundle, id);
            }
        }
        None
    }

    async fn find_shim(scope: &Scope, id: &str, record: &ShimRecord) -> Found {
        let Some(address) = record.address.clone() else { return Found::Nothing };
        let version = record.api.unwrap_or(2);
        let protocol = "ttrpc".to_owned();
        let params = BootstrapParams { version, address, protocol };
        let Ok(shim) = Shim::connect(&params).await else { return Found::Nothing };
        let asked = tokio::time::timeout(PATIENCE, shim.state(scope, id, "")).await;
        match asked.unwrap_or(Err(Error::Timeout("State"))) {
            Ok(state) => Found::Task { shim, pid: Some(state.pid).filter(|pid| *pid != 0) },
            Err(error) if is_unknown(&error) => Found::Empty(shim),
            Err(Error::Closed) => Found::Nothing,
            Err(error) => {
                // It lives; that it is slow or odd now is no reason to end its container.
                tracing::warn!(container = %id, error = %Chain(&error), "shim tells no state");
                Found::Task { shim, pid: None }
            }
        }
    }

    fn discard(&self, bundle: &Bundle, id: &str) {
        if let Err(error) = bundle.remove() {
            tracing::warn!(container = %id, error = %Chain(&error), "bundle not removed");
        }
    }
}

/// A bundle whose shim has no task for it.
struct Empty {
    scope: Scope,
    id: String,
    bundle: Bundle,
    shim: Shim,
    address: String,
}

enum Found {
    Task { shim: Shim, pid: Option<u32> },
    Empty(Shim),
    Nothing,
}
