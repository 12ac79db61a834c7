//! Task events, and the service that takes them (`containerd.services.events.ttrpc.v1.Events`).

use crate::types::{Mount, Named};
use prost::Message;
use prost_types::{Any, Timestamp};

/// The service at `TTRPC_ADDRESS`.
pub const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";
/// Its only method; takes a [`ForwardRequest`].
pub const FORWARD: &str = "Forward";

/// A task event: a message with a topic.
pub trait Event: Message + Named {
    /// The event's topic.
    const TOPIC: &str;
}

/// An event with when, where and about what (`containerd.types.Envelope`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Envelope {
    /// When it happened.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    /// The containerd namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// The topic.
    #[prost(string, tag = "3")]
    pub topic: String,
    /// The event.
    #[prost(message, optional, tag = "4")]
    pub event: Option<Any>,
}

/// Hands an event on.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ForwardRequest {
    /// The event.
    #[prost(message, optional, tag = "1")]
    pub envelope: Option<Envelope>,
}

/// A task's stdio.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskIo {
    /// URI of the standard input, see [`StdioUri`](crate::stdio::StdioUri).
    #[prost(string, tag = "1")]
    pub stdin: String,
    /// URI of the standard output.
    #[prost(string, tag = "2")]
    pub stdout: String,
    /// URI of the standard error.
    #[prost(string, tag = "3")]
    pub stderr: String,
    /// Whether the process has a terminal.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
}

/// A container was created.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskCreate {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The bundle's directory.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// Mounts that make the root file system, in order.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// Its stdio.
    #[prost(message, optional, tag = "4")]
    pub io: Option<TaskIo>,
    /// The checkpoint that it was restored from.
    #[prost(string, tag = "5")]
    pub checkpoint: String,
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "6")]
    pub pid: u32,
}

impl Named for TaskCreate {
    const TYPE_URL: &str = "containerd.events.TaskCreate";
}

impl Event for TaskCreate {
    const TOPIC: &str = "/tasks/create";
}

/// An init process was started.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskStart {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
}

impl Named for TaskStart {
    const TYPE_URL: &str = "containerd.events.TaskStart";
}

impl Event for TaskStart {
    const TOPIC: &str = "/tasks/start";
}

/// A process ended.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskExit {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The process: the exec, or the container again.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// Exit status; 128 + the number of the signal that killed it.
    #[prost(uint32, tag = "4")]
    pub exit_status: u32,
    /// When the process ended.
    #[prost(message, optional, tag = "5")]
    pub exited_at: Option<Timestamp>,
}

impl Named for TaskExit {
    const TYPE_URL: &str = "containerd.events.TaskExit";
}

impl Event for TaskExit {
    const TOPIC: &str = "/tasks/exit";
}

/// A container or exec was deleted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskDelete {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// Exit status; 128 + the number of the signal that killed it.
    #[prost(uint32, tag = "3")]
    pub exit_status: u32,
    /// When the process ended.
    #[prost(message, optional, tag = "4")]
    pub exited_at: Option<Timestamp>,
    /// The exec; empty for the container.
    #[prost(string, tag = "5")]
    pub id: String,
}

impl Named for TaskDelete {
    const TYPE_URL: &str = "containerd.events.TaskDelete";
}

impl Event for TaskDelete {
    const TOPIC: &str = "/tasks/delete";
}

/// The kernel killed for want of memory.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskOom {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Named for TaskOom {
    const TYPE_URL: &str = "containerd.events.TaskOOM";
}

impl Event for TaskOom {
    const TOPIC: &str = "/tasks/oom";
}

/// An exec was added.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskExecAdded {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

impl Named for TaskExecAdded {
    const TYPE_URL: &str = "containerd.events.TaskExecAdded";
}

impl Event for TaskExecAdded {
    const TOPIC: &str = "/tasks/exec-added";
}

/// An exec was started.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskExecStarted {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The exec; empty for the init process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Process id in the host's pid namespace.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
}

impl Named for TaskExecStarted {
    const TYPE_URL: &str = "containerd.events.TaskExecStarted";
}

impl Event for TaskExecStarted {
    const TOPIC: &str = "/tasks/exec-started";
}

/// A container was frozen.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskPaused {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Named for TaskPaused {
    const TYPE_URL: &str = "containerd.events.TaskPaused";
}

impl Event for TaskPaused {
    const TOPIC: &str = "/tasks/paused";
}

/// A container was thawed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskResumed {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Named for TaskResumed {
    const TYPE_URL: &str = "containerd.events.TaskResumed";
}

impl Event for TaskResumed {
    const TOPIC: &str = "/tasks/resumed";
}

/// A checkpoint was written.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskCheckpointed {
    /// The container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Where.
    #[prost(string, tag = "2")]
    pub checkpoint: String,
}

impl Named for TaskCheckpointed {
    const TYPE_URL: &str = "containerd.events.TaskCheckpointed";
}

impl Event for TaskCheckpointed {
    const TOPIC: &str = "/tasks/checkpointed";
}
