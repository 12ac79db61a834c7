//! A task's end: seeing it, freeing what it held, and the kernel's part, which nobody waits for.

use super::{Command, Container};
use crate::shared::Shared;
use crate::supervisor::insist;
use base_errors::Kind;
use base_faults as faults;
use contracts_supervisor_api::services::containers::DeleteContainerRequest;
use contracts_supervisor_api::services::tasks::{DeleteTaskRequest, WaitRequest};
use contracts_supervisor_api::status;
use daemon_network::Sandbox;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait before asking a supervisor again that is not there.
const AGAIN: Duration = Duration::from_millis(50);
/// The exit code of a task of which nobody knows how it ended.
const UNKNOWN: i64 = 255;

/// How a task ended.
#[derive(Clone, Debug)]
pub(crate) struct Exit {
    pub(crate) code: i64,
    pub(crate) at: Timestamp,
}

impl Exit {
    /// An end that nobody saw.
    pub(crate) fn unseen() -> Self {
        Self { code: UNKNOWN, at: Timestamp::now() }
    }
}

/// Waits for the task's end in the background, whatever becomes of the supervisor meanwhile.
pub(super) fn watch(shared: &Arc<Shared>, container: &Arc<Container>) {
    let (shared, container) = (shared.clone(), container.clone());
    tokio::spawn(async move {
        // An earlier daemon may have seen the end, and had the task forgotten already.
        let exit = match container.view().state.ending {
            Some(ending) => Exit { code: ending.code, at: ending.at.0 },
            None => wait(&shared, container.id().as_str(), "").await,
        };
        container.tell(Command::Exited(exit)).await;
    });
}

/// Waits for the end of a task's process (of an exec, when that is named).
pub(crate) async fn wait(shared: &Shared, container: &str, exec: &str) -> Exit {
    loop {
        let request = WaitRequest { container_id: container.to_owned(), exec_id: exec.to_owned() };
        let request = shared.supervisor.call(request);
        match shared.supervisor.tasks().wait(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let at = answer.exited_at.and_then(|t| Timestamp::new(t.seconds, t.nanos).ok());
                let at = at.filter(|at| at.as_second() > 0).unwrap_or_else(Timestamp::now);
                return Exit { code: i64::from(answer.exit_status), at };
            }
            Err(error) if status::kind(&error) == Kind::NotFound => return Exit::unseen(),
            Err(error) => {
                tracing::debug!(container, exec, %error, "wait again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Frees ports and addresses.
pub(super) async fn free_network(shared: &Arc<Shared>, container: &Arc<Container>) {
    super::attach::close_gate(container).await;
    let id = container.id().clone();
    if container.view().state.sandbox.is_some() {
        let result =
            shared.network("remove sandbox", move |networks| networks.remove_sandbox(&id)).await;
        if let Ok(Err(error)) = result {
            let error = base_errors::Chain(&error).to_string();
            tracing::error!(container = %container.id(), error, "sandbox not removed");
        }
    }
    faults::reach(const { faults::step("daemon.stop.sandbox-removed") });
}

/// Tells that the endpoints and volumes are gone.
pub(super) fn tell_disconnects(shared: &Shared, container: &Container, sandbox: Option<&Sandbox>) {
    for endpoint in sandbox.map(|sandbox| &sandbox.endpoints[..]).unwrap_or_default() {
        super::start::tell_network(shared, container, endpoint, "disconnect");
    }
    super::start::tell_volumes(shared, container, "unmount");
}

/// Has the supervisor forget the task, in the background; the receiver tells when that is done.
pub(super) fn tear_down(shared: &Arc<Shared>, container: &Arc<Container>) -> watch::Receiver<bool> {
    let (done, receiver) = watch::channel(false);
    let (shared, container) = (shared.clone(), container.clone());
    tokio::spawn(async move {
        forget(&shared, container.id().as_str()).await;
        let _ = done.send(true);
    });
    receiver
}

/// Deletes a task and its record in the supervisor; what is not there is deleted already.
pub(crate) async fn forget(shared: &Shared, id: &str) {
    let supervisor = &shared.supervisor;
    let deleted = insist(|| {
        let request = supervisor.call(DeleteTaskRequest { container_id: id.to_owned() });
        async move { supervisor.tasks().delete(request).await.map(drop) }
    });
    report(id, "delete task", deleted.await);
    faults::reach(const { faults::step("daemon.stop.task-deleted") });
    let deleted = insist(|| {
        let request = supervisor.call(DeleteContainerRequest { id: id.to_owned() });
        async move { supervisor.containers().delete(request).await.map(drop) }
    });
    report(id, "delete container", deleted.await);
}

fn report(
    id: &str,
    step: &'static str,
    result: Result<(), contracts_supervisor_api::tonic::Status>,
) {
    if let Err(error) = result
        && status::kind(&error) != Kind::NotFound
    {
        tracing::warn!(container = id, step, error = error.message(), "teardown incomplete");
    }
}
