//! At start-up: what records say against what is there.
//!
//! A record that says *running* gets its driver and a wait on its task; a task that has ended (or
//! is unknown) is then just an exit that comes at once, and goes the way of every exit. What was
//! half started is undone, what was half removed is removed, and what nobody has a record of goes.

use crate::container::{self, Command, Container};
use crate::error::{Error, Result};
use crate::record::{ConfigRecord, Phase, StateRecord, Timestamp3339};
use crate::requests::RemoveOptions;
use crate::shared::{Shared, blocking};
use crate::supervisor::{SNAPSHOTTER, failed};
use base_errors::{Chain, Kind};
use base_ids::ContainerId;
use contracts_supervisor_api::services::containers::ListContainersRequest;
use contracts_supervisor_api::services::snapshots::{ListSnapshotsRequest, RemoveSnapshotRequest};
use contracts_supervisor_api::services::tasks::{KillRequest, ListTasksRequest};
use contracts_supervisor_api::{status, topics, types};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a supervisor may take to answer after it was started.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(5);
const SIGKILL: u32 = 9;
/// The exit code of a start that failed.
const FAILED_START: i64 = 128;

/// Brings records, tasks, snapshots and sandboxes together.
pub(crate) async fn adopt(shared: &Arc<Shared>) -> Result<()> {
    let store = shared.store.clone();
    let records = blocking("load records", move || store.load()).await??;
    let tasks = list_tasks(shared).await?;
    let runs = |id: &ContainerId| {
        tasks.get(id.as_str()).is_some_and(|task| {
            matches!(
                task.status(),
                types::Status::Running | types::Status::Paused | types::Status::Pausing
            )
        })
    };
    let live: Vec<ContainerId> = records
        .iter()
        .map(|(config, _)| &config.id)
        .filter(|id| tasks.contains_key(id.as_str()))
        .cloned()
        .collect();
    let adopted = shared.network("adopt sandboxes", move |networks| networks.adopt(&live)).await?;
    if let Err(error) = adopted {
        tracing::error!(error = %Chain(&error), "sandboxes not adopted");
    }
    let known: BTreeSet<String> = records.iter().map(|(config, _)| config.id.to_string()).collect();
    for (config, state) in records {
        let running = runs(&config.id);
        take_in(shared, config, state, running).await;
    }
    for id in tasks.keys().filter(|id| !known.contains(*id)) {
        tracing::warn!(container = id, "task without a record is removed");
        kill_orphan(shared, id).await;
    }
    remove_orphans(shared, &known).await
}

/// Asks until the supervisor answers.
async fn list_tasks(shared: &Shared) -> Result<HashMap<String, types::Process>> {
    let begun = Instant::now();
    loop {
        let request = shared.supervisor.call(ListTasksRequest::default());
        match shared.supervisor.tasks().list(request).await {
            Ok(answer) => {
                let tasks = answer.into_inner().tasks;
                let name = |task: &types::Process| match task.container_id.as_str() {
                    "" => task.id.clone(),
                    id => id.to_owned(),
                };
                return Ok(tasks.into_iter().map(|task| (name(&task), task)).collect());
            }
            Err(error)
                if status::kind(&error) == Kind::Unavailable && begun.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(failed("list tasks")(error)),
        }
    }
}

async fn take_in(shared: &Arc<Shared>, config: ConfigRecord, mut state: StateRecord, runs: bool) {
    let (id, volatile) = (config.id.clone(), config.host_config.auto_remove);
    if let Err(error) = shared.containers.reserve(&config.name, &id) {
        tracing::error!(container = %id, %error, "container not taken in");
        return;
    }
    let was = state.phase;
    match was {
        Phase::Starting if runs => {
            state.phase = Phase::Running;
            state.started_at.get_or_insert(Timestamp3339(Timestamp::now()));
        }
        Phase::Starting => {
            container::forget(shared, id.as_str()).await;
            let owner = id.clone();
            let freed = shared.network("remove sandbox", move |n| n.remove_sandbox(&owner)).await;
            if let Ok(Err(error)) = freed {
                tracing::error!(container = %id, error = %Chain(&error), "sandbox not removed");
            }
            state.phase = if state.started_at.is_some() { Phase::Exited } else { Phase::Created };
            state.exit_code = FAILED_START;
            "the daemon ended while it started this container".clone_into(&mut state.error);
            state.sandbox = None;
        }
        _ => {}
    }
    if matches!(state.phase, Phase::Running | Phase::Paused) && runs {
        let wanted = id.clone();
        let found = shared.network("find sandbox", move |n| n.sandbox(&wanted)).await;
        state.sandbox = found.ok().flatten().or(state.sandbox);
    }
    let again = wants_start(&config, &state);
    let folder = shared.store.folder(&id, volatile);
    let (container, receiver) = Container::new(config, state, folder, None);
    if was == Phase::Removing {
        shared.containers.release(&container.record.name);
        finish_removal(shared, container);
        return;
    }
    container::spawn(shared, &container, receiver);
    shared.containers.insert(container.clone());
    let gone = volatile && matches!(container.view().state.phase, Phase::Exited);
    let failed = volatile && was == Phase::Starting && !runs;
    if gone || failed {
        let options = RemoveOptions { force: true, volumes: true };
        act(container, move |trace, reply| Command::Remove { options, trace, reply });
    } else if again {
        act(container, |trace, reply| Command::Start { trace, reply });
    }
}

/// Whether the restart policy wants it started with the daemon.
fn wants_start(config: &ConfigRecord, state: &StateRecord) -> bool {
    if !matches!(state.phase, Phase::Exited | Phase::Restarting) {
        return false;
    }
    match config.host_config.restart_policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !state.manually_stopped,
        "on-failure" => !state.manually_stopped && state.exit_code != 0,
        _ => false,
    }
}

/// Has a driver do something in the background.
fn act(
    container: Arc<Container>,
    command: impl FnOnce(
        base_telemetry::TraceContext,
        tokio::sync::oneshot::Sender<Result<()>>,
    ) -> Command
    + Send
    + 'static,
) {
    tokio::spawn(async move {
        if let Err(error) = container.ask(command).await {
            tracing::warn!(container = %container.id(), %error, "after adoption");
        }
    });
}

fn finish_removal(shared: &Arc<Shared>, container: Arc<Container>) {
    let shared = shared.clone();
    tokio::spawn(async move {
        container::forget(&shared, container.id().as_str()).await;
        if let Err(error) = container::clean(&shared, &container, None).await {
            tracing::error!(container = %container.id(), %error, "removal not finished");
        }
    });
}

async fn kill_orphan(shared: &Arc<Shared>, id: &str) {
    let request = KillRequest {
        container_id: id.to_owned(),
        signal: SIGKILL,
        all: true,
        ..KillRequest::default()
    };
    let _ = shared.supervisor.tasks().kill(shared.supervisor.call(request)).await;
    container::wait_for_exit(shared, id, "").await;
    container::forget(shared, id).await;
}

/// Removes container records and snapshots of the supervisor that no record of ours knows.
async fn remove_orphans(shared: &Arc<Shared>, known: &BTreeSet<String>) -> Result<()> {
    let supervisor = &shared.supervisor;
    let request = supervisor.call(ListContainersRequest::default());
    let answer = supervisor.containers().list(request).await;
    let records = answer.map_err(failed("list containers"))?.into_inner().containers;
    for record in records.iter().filter(|record| !known.contains(&record.id)) {
        container::forget(shared, &record.id).await;
    }
    let snapshotter = SNAPSHOTTER.to_owned();
    let request = ListSnapshotsRequest { snapshotter: snapshotter.clone(), filters: Vec::new() };
    let answer = supervisor.snapshots().list(supervisor.call(request)).await;
    let mut pages = answer.map_err(failed("list snapshots"))?.into_inner();
    let mut orphans = Vec::new();
    while let Some(page) = pages.message().await.map_err(failed("list snapshots"))? {
        // Only root file systems of containers have a container id as key.
        let ours = page
            .info
            .into_iter()
            .map(|info| info.name)
            .filter(|name| name.parse::<ContainerId>().is_ok() && !known.contains(name));
        orphans.extend(ours);
    }
    for key in orphans {
        let request = RemoveSnapshotRequest { snapshotter: snapshotter.clone(), key };
        if let Err(error) = supervisor.snapshots().remove(supervisor.call(request)).await {
            tracing::warn!(error = error.message(), "orphaned snapshot not removed");
        }
    }
    Ok(())
}

/// Listens for what only events tell: the out-of-memory killer.
pub(crate) fn listen(shared: &Arc<Shared>) {
    use contracts_supervisor_api::events::TaskOom;
    use contracts_supervisor_api::services::events::SubscribeRequest;
    const RETRY: Duration = Duration::from_millis(500);
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move {
        while let Some(shared) = shared.upgrade() {
            let filters = vec![format!("topic=={}", topics::TASK_OOM)];
            let request = shared.supervisor.call(SubscribeRequest { filters });
            let subscribed = shared.supervisor.events().subscribe(request).await;
            if let Ok(events) = subscribed {
                let mut events = events.into_inner();
                while let Ok(Some(envelope)) = events.message().await {
                    let oom = envelope.event.as_ref().and_then(|event| {
                        contracts_supervisor_api::any::unpack::<TaskOom>(event).ok()
                    });
                    let Some(oom) = oom else { continue };
                    if let Ok(container) = shared.containers.find(&oom.container_id) {
                        container.tell(Command::OutOfMemory).await;
                    }
                }
            }
            drop(shared);
            tokio::time::sleep(RETRY).await;
        }
    });
}

/// Reads the daemon's identity, or makes one.
pub(crate) fn identity(data_root: &std::path::Path) -> Result<String> {
    let path = data_root.join("engine-id");
    if let Ok(text) = std::fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    let hex = ContainerId::random();
    let part = |range: std::ops::Range<usize>| hex.as_str()[range].to_owned();
    let parts = [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)];
    let text = parts.join("-");
    base_files::replace(&path, text.as_bytes(), 0o600, base_files::Durability::PowerLoss)
        .map_err(|error| Error::internal("write engine id", error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::config;

    #[test]
    fn policies_decide_what_starts_with_the_daemon() {
        let starts = |policy: &str, manually_stopped, exit_code| {
            let mut config = config();
            config.host_config.restart_policy.name = policy.to_owned();
            let state = StateRecord {
                phase: Phase::Exited,
                manually_stopped,
                exit_code,
                ..StateRecord::created()
            };
            wants_start(&config, &state)
        };
        assert!(starts("always", true, 0));
        assert!(starts("unless-stopped", false, 0) && !starts("unless-stopped", true, 0));
        assert!(starts("on-failure", false, 1) && !starts("on-failure", false, 0));
        assert!(!starts("no", false, 1));
    }

    #[test]
    fn the_identity_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(identity(folder.path()).unwrap(), identity(folder.path()).unwrap());
    }
}
