//! At start-up: what records say against what is there.
//!
//! A record that says *running* gets its driver and a wait on its task; a task that has ended (or
//! is unknown) is then just an exit that comes at once, and goes the way of every exit. What was
//! half started is undone, what was half removed is removed, and what nobody has a record of goes,
//! in the background: nothing of it may keep the daemon from answering.

use crate::container::{self, Command, Container};
use crate::error::{Error, Result};
use crate::record::{ConfigRecord, Phase, StateRecord, Timestamp3339};
use crate::requests::RemoveOptions;
use crate::shared::{Shared, blocking};
use crate::supervisor::{SNAPSHOTTER, failed, insist};
use base_errors::{Chain, Kind};
use base_ids::ContainerId;
use contracts_supervisor_api::services::containers::ListContainersRequest;
use contracts_supervisor_api::services::snapshots::{ListSnapshotsRequest, RemoveSnapshotRequest};
use contracts_supervisor_api::services::tasks::{KillRequest, ListTasksRequest};
use contracts_supervisor_api::{status, topics, types};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

const SIGKILL: u32 = 9;
/// The exit code of a start that failed.
const FAILED_START: i64 = 128;

/// Brings records, tasks, snapshots and sandboxes together.
pub(crate) async fn adopt(shared: &Arc<Shared>) -> Result<()> {
    let store = shared.store.clone();
    let records = blocking("load records", move || store.load()).await??;
    let tasks = list_tasks(shared).await?;
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
        let task = tasks.get(config.id.as_str());
        take_in(shared, config, state, task).await;
    }
    for id in tasks.keys().filter(|id| !known.contains(*id)) {
        tracing::warn!(container = id, "task without a record is removed");
        let (shared, id) = (shared.clone(), id.clone());
        tokio::spawn(async move { kill_orphan(&shared, &id).await });
    }
    let spared = known.into_iter().chain(tasks.into_keys()).collect();
    remove_orphans(shared, &spared).await
}

/// Whether a task's process is there.
fn is_alive(task: &types::Process) -> bool {
    use types::Status::{Paused, Pausing, Running};
    matches!(task.status(), Running | Paused | Pausing)
}

/// A container's state, as its record has it, put right by what is there.
fn reconcile(mut state: StateRecord, task: Option<&types::Process>) -> StateRecord {
    match task.filter(|task| is_alive(task)) {
        // Whatever comes after, the removal goes on.
        _ if state.phase == Phase::Removing => {}
        Some(task) => {
            let frozen = task.status() != types::Status::Running;
            state.phase = if frozen { Phase::Paused } else { Phase::Running };
            state.pid = task.pid;
            state.started_at.get_or_insert(Timestamp3339(Timestamp::now()));
        }
        None if state.phase == Phase::Starting => {
            state.phase = if state.started_at.is_some() { Phase::Exited } else { Phase::Created };
            state.exit_code = FAILED_START;
            "the daemon ended while it started this container".clone_into(&mut state.error);
            state.sandbox = None;
        }
        None => {}
    }
    state
}

async fn list_tasks(shared: &Shared) -> Result<HashMap<String, types::Process>> {
    let listed = insist(|| {
        let request = shared.supervisor.call(ListTasksRequest::default());
        async move { shared.supervisor.tasks().list(request).await }
    });
    let tasks = listed.await.map_err(failed("list tasks"))?.into_inner().tasks;
    let name = |task: &types::Process| match task.container_id.as_str() {
        "" => task.id.clone(),
        id => id.to_owned(),
    };
    Ok(tasks.into_iter().map(|task| (name(&task), task)).collect())
}

async fn take_in(
    shared: &Arc<Shared>,
    config: ConfigRecord,
    state: StateRecord,
    task: Option<&types::Process>,
) {
    let (id, volatile) = (config.id.clone(), config.host_config.auto_remove);
    if let Err(error) = shared.containers.reserve(&config.name, &id) {
        tracing::error!(container = %id, %error, "container not taken in");
        return;
    }
    let was = state.phase;
    let mut state = reconcile(state, task);
    let ended = matches!(state.phase, Phase::Created | Phase::Exited | Phase::Restarting);
    let failed = was == Phase::Starting && ended;
    let runs = task.is_some_and(is_alive);
    if failed {
        let owner = id.clone();
        let freed = shared.network("remove sandbox", move |n| n.remove_sandbox(&owner)).await;
        if let Ok(Err(error)) = freed {
            tracing::error!(container = %id, error = %Chain(&error), "sandbox not removed");
        }
    }
    // What a start left that failed, or an end that was recorded and not cleaned up.
    if failed || (ended && task.is_some()) {
        container::forget(shared, id.as_str()).await;
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
    if gone || (volatile && failed) {
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
    let policy = &config.host_config.restart_policy;
    let most = policy.maximum_retry_count;
    match policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !state.manually_stopped,
        "on-failure" => {
            let tries_left = most == 0 || state.restart_count < most;
            !state.manually_stopped && state.exit_code != 0 && tries_left
        }
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
    // Only root file systems of containers have a container id as key.
    if id.parse::<ContainerId>().is_ok() {
        remove_snapshot(shared, id.to_owned()).await;
    }
}

async fn remove_snapshot(shared: &Shared, key: String) {
    let supervisor = &shared.supervisor;
    let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key };
    match supervisor.snapshots().remove(supervisor.call(request)).await {
        Err(error) if status::kind(&error) != Kind::NotFound => {
            tracing::warn!(error = error.message(), "orphaned snapshot not removed");
        }
        _ => {}
    }
}

/// Removes container records and snapshots of the supervisor that neither a record of ours nor a
/// task knows.
async fn remove_orphans(shared: &Arc<Shared>, known: &BTreeSet<String>) -> Result<()> {
    let supervisor = &shared.supervisor;
    let request = supervisor.call(ListContainersRequest::default());
    let answer = supervisor.containers().list(request).await;
    let records = answer.map_err(failed("list containers"))?.into_inner().containers;
    for record in records.iter().filter(|record| !known.contains(&record.id)) {
        container::forget(shared, &record.id).await;
    }
    let snapshotter = SNAPSHOTTER.to_owned();
    let request = ListSnapshotsRequest { snapshotter, filters: Vec::new() };
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
        remove_snapshot(shared, key).await;
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
    fn a_count_of_restarts_that_is_used_up_stays_used_up() {
        let mut config = config();
        config.host_config.restart_policy.name = "on-failure".to_owned();
        config.host_config.restart_policy.maximum_retry_count = 2;
        let state = |restart_count| StateRecord {
            phase: Phase::Exited,
            exit_code: 1,
            restart_count,
            ..StateRecord::created()
        };
        assert!(wants_start(&config, &state(1)) && !wants_start(&config, &state(2)));
    }

    #[test]
    fn what_the_supervisor_says_of_a_task_is_believed() {
        use types::Status::{Paused, Running, Stopped};
        let phase = |recorded, said: Option<types::Status>| {
            let task = said.map(|status| types::Process {
                status: status.into(),
                pid: 7,
                ..types::Process::default()
            });
            let record = StateRecord { phase: recorded, ..StateRecord::created() };
            reconcile(record, task.as_ref()).phase
        };
        // A freeze or thaw that was not written down any more.
        assert_eq!(phase(Phase::Running, Some(Paused)), Phase::Paused);
        assert_eq!(phase(Phase::Paused, Some(Running)), Phase::Running);
        // A start that was, or was not, over; a state that was lost.
        assert_eq!(phase(Phase::Starting, Some(Running)), Phase::Running);
        assert_eq!(phase(Phase::Starting, Some(Stopped)), Phase::Created);
        assert_eq!(phase(Phase::Created, Some(Running)), Phase::Running);
        // An end that is still to be seen, and a removal that goes on.
        assert_eq!(phase(Phase::Running, None), Phase::Running);
        assert_eq!(phase(Phase::Removing, Some(Running)), Phase::Removing);
    }

    #[test]
    fn the_identity_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(identity(folder.path()).unwrap(), identity(folder.path()).unwrap());
    }
}
