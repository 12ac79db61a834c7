//! The shim's messages as the supervisor's, and back: the same fields in other packages.

use contracts_shim_api::task::{DeleteResponse as ShimDeleted, StateResponse};
use contracts_shim_api::types::{Mount as ShimMount, ProcessInfo as ShimProcessInfo};
use contracts_supervisor_api::services::tasks::DeleteResponse;
use contracts_supervisor_api::types::{Mount, Process, ProcessInfo};
use prost_types::Timestamp;
use std::borrow::Cow;
use supervisor_metadata::filter::Fields;

/// Go's zero time, the end of what has not ended: clients take its absence for 1970.
const ZERO_TIME: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

pub(super) fn mount(mount: Mount) -> ShimMount {
    let Mount { r#type, source, target, options } = mount;
    ShimMount { fstype: r#type, source, target, options }
}

pub(super) fn process(id: &str, exec_id: &str, state: StateResponse) -> Process {
    Process {
        container_id: id.to_owned(),
        id: if exec_id.is_empty() { id } else { exec_id }.to_owned(),
        pid: state.pid,
        status: state.status,
        stdin: state.stdin,
        stdout: state.stdout,
        stderr: state.stderr,
        terminal: state.terminal,
        exit_status: state.exit_status,
        exited_at: Some(state.exited_at.unwrap_or(ZERO_TIME)),
    }
}

pub(super) fn process_info(info: ShimProcessInfo) -> ProcessInfo {
    ProcessInfo { pid: info.pid, info: info.info }
}

pub(super) fn deleted(id: String, response: &ShimDeleted) -> DeleteResponse {
    let ShimDeleted { pid, exit_status, exited_at } = *response;
    DeleteResponse { id, pid, exit_status, exited_at }
}

/// What filters can ask of a task: its id.
pub(super) struct TaskFields<'a>(pub(super) &'a str);

impl Fields for TaskFields<'_> {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        matches!(path, [first] if first == "id").then(|| Cow::Borrowed(self.0))
    }
}
