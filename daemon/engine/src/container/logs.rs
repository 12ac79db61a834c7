//! Reading a container's log, and waiting for a container.

use super::{Container, View};
use crate::error::{Error, Result};
use crate::requests::{LogsOptions, WaitCondition};
use crate::shared::Shared;
use crate::streams::{ContainerWait, LogEntry, Logs};
use base_errors::{Chain, Kind};
use contracts_engine_api::container::{WaitExitError, WaitResponse};
use contracts_engine_api::stream::Stream;
use daemon_logs::{Query, Tail};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Entries that wait for a slow client.
const QUEUE: usize = 64;

impl Shared {
    /// `GET /containers/{id}/logs`.
    pub(crate) async fn container_logs(&self, id: &str, options: LogsOptions) -> Result<Logs> {
        if !options.stdout && !options.stderr {
            return Err(Error::invalid("must specify at least one of 'stdout' or 'stderr'"));
        }
        let container = self.containers.find(id)?;
        let path = container.log_path().ok_or_else(|| Error::Remote {
            kind: Kind::Unimplemented,
            message: "configured logging driver does not support reading".to_owned(),
        })?;
        let query = Query {
            tail: options.tail.map_or(Tail::All, Tail::Last),
            since: options.since,
            until: options.until,
        };
        let stopped = options.follow.then(|| ended(container.clone()));
        let mut batches = daemon_logs::read(&path, query, stopped);
        let (sender, entries) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            while let Some(batch) = batches.recv().await {
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(error) => {
                        let error = Error::internal("read log", Chain(&error));
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                };
                for entry in batch {
                    let stream = match entry.stream {
                        daemon_logs::Stream::Stdout if options.stdout => Stream::Stdout,
                        daemon_logs::Stream::Stderr if options.stderr => Stream::Stderr,
                        _ => continue,
                    };
                    let bytes = entry.render(options.timestamps, options.details).into();
                    if sender.send(Ok(LogEntry { stream, bytes })).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Logs { tty: container.record.config.tty, entries })
    }

    /// `POST /containers/{id}/wait`.
    pub(crate) fn container_wait(
        &self,
        id: &str,
        condition: WaitCondition,
    ) -> Result<ContainerWait> {
        let container = self.containers.find(id)?;
        let mut watch = container.watch();
        let exits = watch.borrow().exits;
        Ok(ContainerWait::new(async move {
            let met = |view: &View| match condition {
                WaitCondition::Removed => view.removed.is_some(),
                WaitCondition::NextExit => view.exits > exits || view.removed.is_some(),
                WaitCondition::NotRunning => {
                    view.removed.is_some()
                        || !(view.running() || super::coming_or_going(view.state.phase))
                }
            };
            match watch.wait_for(met).await {
                Ok(view) => {
                    let removed = view.removed.filter(|_| condition == WaitCondition::Removed);
                    let status_code = removed.unwrap_or(view.state.exit_code);
                    // A failed start is told by the start request, not here.
                    WaitResponse { error: None, status_code }
                }
                Err(_) => WaitResponse {
                    error: Some(WaitExitError { message: "container is gone".to_owned() }),
                    status_code: 125,
                },
            }
        }))
    }
}

/// Waits until a container does not run.
async fn ended(container: Arc<Container>) {
    let mut watch = container.watch();
    let over = |view: &View| view.removed.is_some() || !view.running();
    // An error means that the container is gone, which is an end, too.
    let _ = watch.wait_for(over).await;
}
