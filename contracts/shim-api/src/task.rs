//! The Task service's messages: `containerd.task.v2.Task` and `containerd.task.v3.Task`, which have
//! the same shape and differ in name only.

use crate::types::{Mount, ProcessInfo, TaskStatus};
use prost::Message;
use prost_types::{Any, Timestamp};
use std::collections::BTreeMap;

/// The service name that containerd up to 1.7 calls, and later ones call on shims of version 2.
pub const SERVICE_V2: &str = "containerd.task.v2.Task";
/// The service name that containerd 2 calls on shims of version 3.
pub const SERVICE_V3: &str = "containerd.task.v3.Task";

/// A method of the Task service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Takes a [`StateRequest`].
    State,
    /// Takes a [`CreateTaskRequest`].
    Create,
    /// Takes a [`StartRequest`].
    Start,
    /// Takes a [`DeleteRequest`].
    Delete,
    /// Takes a [`PidsRequest`].
    Pids,
    /// Takes a [`PauseRequest`].
    Pause,
    /// Takes a [`ResumeRequest`].
    Resume,
    /// Takes a [`CheckpointTaskRequest`].
    Checkpoint,
    /// Takes a [`KillRequest`].
    Kill,
    /// Takes a [`ExecProcessRequest`].
    Exec,
    /// Takes a [`ResizePtyRequest`].
    ResizePty,
    /// Takes a [`CloseIoRequest`].
    CloseIo,
    /// Takes a [`UpdateTaskRequest`].
    Update,
    /// Takes a [`WaitRequest`].
    Wait,
    /// Takes a [`StatsRequest`].
    Stats,
    /// Takes a [`ConnectRequest`].
    Connect,
    /// Takes a [`ShutdownRequest`].
    Shutdown,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 17] = [
        Self::State,
        Self::Create,
        Self::Start,
        Self::Delete,
        Self::Pids,
        Self::Pause,
        Self::Resume,
        Self::Checkpoint,
        Self::Kill,
        Self::Exec,
        Self::ResizePty,
        Self::CloseIo,
        Self::Update,
        Self::Wait,
        Self::Stats,
        Self::Connect,
        Self::Shutdown,
    ];

    /// The method's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "State",
            Self::Create => "Create",
            Self::Start => "Start",
            Self::Delete => "Delete",
            Self::Pids => "Pids",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Checkpoint => "Checkpoint",
            Self::Kill => "Kill",
            Self::Exec => "Exec",
            Self::ResizePty => "ResizePty",
            Self::CloseIo => "CloseIO",
            Self::Update => "Update",
            Self::Wait => "Wait",
            Self::Stats => "Stats",
            Self::Connect => "Connect",
            Self::Shutdown => "Shutdown",
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// Asks for one process.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StateRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// What a process is and does.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StateResponse {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The bundle's directory.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// What it does.
    #[prost(enumeration = "TaskStatus", tag = "4")]
    pub status: i32,
    /// URI of the standard input, see [`StdioUri`](crate::stdio::StdioUri).
    #[prost(string, tag = "5")]
    pub stdin: String,
    /// URI of the standard output.
    #[prost(string, tag = "6")]
    pub stdout: String,
    /// URI of the standard error.
    #[prost(string, tag = "7")]
    pub stderr: String,
    /// Whether the process has a terminal.
    #[prost(bool, tag = "8")]
    pub terminal: bool,
    /// Exit status; 128 + the number of the signal that killed it.
    #[prost(uint32, tag = "9")]
    pub exit_status: u32,
    /// When the process ended.
    #[prost(message, optional, tag = "10")]
    pub exited_at: Option<Timestamp>,
    /// The exec; empty for the init process.
    #[prost(string, tag = "11")]
    pub exec_id: String,
}

/// Creates a container from a bundle; its init process waits for `Start`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CreateTaskRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The bundle's directory.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// Mounts that make the root file system, in order.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// Whether the process has a terminal.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
    /// URI of the standard input, see [`StdioUri`](crate::stdio::StdioUri).
    #[prost(string, tag = "5")]
    pub stdin: String,
    /// URI of the standard output.
    #[prost(string, tag = "6")]
    pub stdout: String,
    /// URI of the standard error.
    #[prost(string, tag = "7")]
    pub stderr: String,
    /// Directory of a checkpoint to restore from.
    #[prost(string, tag = "8")]
    pub checkpoint: String,
    /// Directory of that checkpoint's parent.
    #[prost(string, tag = "9")]
    pub parent_checkpoint: String,
    /// Runtime options, [`Options`](crate::options::Options).
    #[prost(message, optional, tag = "10")]
    pub options: Option<Any>,
}

/// Answer to [`CreateTaskRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CreateTaskResponse {
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// Starts the init process or an exec.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StartRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// Answer to [`StartRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StartResponse {
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// Deletes a stopped process and what belonged to it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeleteRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// Answer to [`DeleteRequest`]; also what the `delete` action prints.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeleteResponse {
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// Exit status; 128 + the number of the signal that killed it.
    #[prost(uint32, tag = "2")]
    pub exit_status: u32,
    /// When the process ended.
    #[prost(message, optional, tag = "3")]
    pub exited_at: Option<Timestamp>,
}

/// Asks for all processes in a container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PidsRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Answer to [`PidsRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PidsResponse {
    /// The processes.
    #[prost(message, repeated, tag = "1")]
    pub processes: Vec<ProcessInfo>,
}

/// Freezes a container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PauseRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Thaws a container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ResumeRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Writes a checkpoint.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CheckpointTaskRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Where to.
    #[prost(string, tag = "2")]
    pub path: String,
    /// Checkpoint options.
    #[prost(message, optional, tag = "3")]
    pub options: Option<Any>,
}

/// Sends a signal.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct KillRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// The signal's number.
    #[prost(uint32, tag = "3")]
    pub signal: u32,
    /// To every process of the container.
    #[prost(bool, tag = "4")]
    pub all: bool,
}

/// Adds an exec, to be started by `Start`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExecProcessRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Whether the process has a terminal.
    #[prost(bool, tag = "3")]
    pub terminal: bool,
    /// URI of the standard input, see [`StdioUri`](crate::stdio::StdioUri).
    #[prost(string, tag = "4")]
    pub stdin: String,
    /// URI of the standard output.
    #[prost(string, tag = "5")]
    pub stdout: String,
    /// URI of the standard error.
    #[prost(string, tag = "6")]
    pub stderr: String,
    /// An OCI `process` as JSON.
    #[prost(message, optional, tag = "7")]
    pub spec: Option<Any>,
}

/// Sets a terminal's size.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ResizePtyRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Columns.
    #[prost(uint32, tag = "3")]
    pub width: u32,
    /// Rows.
    #[prost(uint32, tag = "4")]
    pub height: u32,
}

/// Closes a process' standard input.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CloseIoRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Close the standard input.
    #[prost(bool, tag = "3")]
    pub stdin: bool,
}

/// Changes a container's limits.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UpdateTaskRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// OCI `linux.resources` as JSON.
    #[prost(message, optional, tag = "2")]
    pub resources: Option<Any>,
    /// Further parameters.
    #[prost(btree_map = "string, string", tag = "3")]
    pub annotations: BTreeMap<String, String>,
}

/// Asks to be answered when a process has ended.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WaitRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// Answer to [`WaitRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WaitResponse {
    /// Exit status; 128 + the number of the signal that killed it.
    #[prost(uint32, tag = "1")]
    pub exit_status: u32,
    /// When the process ended.
    #[prost(message, optional, tag = "2")]
    pub exited_at: Option<Timestamp>,
}

/// Asks for a container's use of resources.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StatsRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Answer to [`StatsRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StatsResponse {
    /// [`metrics::v1::Metrics`](crate::metrics::v1::Metrics) or [`metrics::v2::Metrics`](crate::metrics::v2::Metrics).
    #[prost(message, optional, tag = "1")]
    pub stats: Option<Any>,
}

/// Asks who serves a container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ConnectRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Answer to [`ConnectRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ConnectResponse {
    /// The shim's process id.
    #[prost(uint32, tag = "1")]
    pub shim_pid: u32,
    /// The init process' id.
    #[prost(uint32, tag = "2")]
    pub task_pid: u32,
    /// The shim's version.
    #[prost(string, tag = "3")]
    pub version: String,
}

/// Asks the shim to leave once it serves no container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShutdownRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Leave at once.
    #[prost(bool, tag = "2")]
    pub now: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_names_round_trip_and_unknown_ones_are_refused() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name()), Some(method));
        }
        assert_eq!(Method::from_name("CloseIo"), None);
    }

    #[test]
    fn a_state_response_has_containerds_field_numbers() {
        let bytes = StateResponse {
            id: "a".into(),
            status: TaskStatus::Running.into(),
            exec_id: "e".into(),
            ..Default::default()
        }
        .encode_to_vec();
        assert_eq!(bytes, [0x0a, 1, b'a', 0x20, 2, 0x5a, 1, b'e']);
    }
}
