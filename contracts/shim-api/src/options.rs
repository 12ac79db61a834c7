//! Messages of the runc shim that engines send to any shim (`containerd.runc.v1`).

use crate::types::Named;
use prost::Message;

/// Runtime options of `Create`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Options {
    /// Do not pivot into the root file system.
    #[prost(bool, tag = "1")]
    pub no_pivot_root: bool,
    /// Keep the session keyring.
    #[prost(bool, tag = "2")]
    pub no_new_keyring: bool,
    /// The cgroup for the shim itself.
    #[prost(string, tag = "3")]
    pub shim_cgroup: String,
    /// Owner of the stdio pipes.
    #[prost(uint32, tag = "4")]
    pub io_uid: u32,
    /// Group of the stdio pipes.
    #[prost(uint32, tag = "5")]
    pub io_gid: u32,
    /// The runtime's binary; empty for the linked one.
    #[prost(string, tag = "6")]
    pub binary_name: String,
    /// The runtime's state directory.
    #[prost(string, tag = "7")]
    pub root: String,
    /// Have systemd make the cgroups.
    #[prost(bool, tag = "9")]
    pub systemd_cgroup: bool,
    /// Where checkpoints are.
    #[prost(string, tag = "10")]
    pub criu_image_path: String,
    /// Where criu works.
    #[prost(string, tag = "11")]
    pub criu_work_path: String,
    /// An existing sandbox' task address.
    #[prost(string, tag = "12")]
    pub task_api_address: String,
    /// Its version.
    #[prost(uint32, tag = "13")]
    pub task_api_version: u32,
}

impl Named for Options {
    const TYPE_URL: &str = "containerd.runc.v1.Options";
}

/// Options of `Checkpoint`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CheckpointOptions {
    /// The container is to end with it.
    #[prost(bool, tag = "1")]
    pub exit: bool,
    /// Take along open TCP connections.
    #[prost(bool, tag = "2")]
    pub open_tcp: bool,
    /// Unix sockets may be connected to the outside.
    #[prost(bool, tag = "3")]
    pub external_unix_sockets: bool,
    /// The terminal may be somebody else's.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
    /// Take along file locks.
    #[prost(bool, tag = "5")]
    pub file_locks: bool,
    /// Namespaces of which the content is left out.
    #[prost(string, repeated, tag = "6")]
    pub empty_namespaces: Vec<String>,
    /// What is done about cgroups: `soft`, `full`, `strict` or `ignore`.
    #[prost(string, tag = "7")]
    pub cgroups_mode: String,
    /// Where the checkpoint goes; for the engine, which says it to the shim in the request's path.
    #[prost(string, tag = "8")]
    pub image_path: String,
    /// Where criu works.
    #[prost(string, tag = "9")]
    pub work_path: String,
    /// An earlier checkpoint of the memory, relative to this one.
    #[prost(string, tag = "10")]
    pub parent_path: String,
}

impl Named for CheckpointOptions {
    const TYPE_URL: &str = "containerd.runc.v1.CheckpointOptions";
}

/// Details of a [`ProcessInfo`](crate::types::ProcessInfo).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ProcessDetails {
    /// The exec.
    #[prost(string, tag = "1")]
    pub exec_id: String,
}

impl Named for ProcessDetails {
    const TYPE_URL: &str = "containerd.runc.v1.ProcessDetails";
}
