//! `io.containerd.cgroups.v2.Metrics`.

use crate::types::Named;
use prost::Message;

/// A container's figures under cgroup v2.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Metrics {
    /// The pids controller.
    #[prost(message, optional, tag = "1")]
    pub pids: Option<Pids>,
    /// The cpu controller.
    #[prost(message, optional, tag = "2")]
    pub cpu: Option<Cpu>,
    /// The memory controller.
    #[prost(message, optional, tag = "4")]
    pub memory: Option<Memory>,
    /// The io controller.
    #[prost(message, optional, tag = "6")]
    pub io: Option<Io>,
    /// `memory.events`.
    #[prost(message, optional, tag = "8")]
    pub memory_events: Option<MemoryEvents>,
}

impl Named for Metrics {
    const TYPE_URL: &str = "io.containerd.cgroups.v2.Metrics";
}

/// Processes and threads.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Pids {
    /// Now.
    #[prost(uint64, tag = "1")]
    pub current: u64,
    /// Most allowed; 0 without limit.
    #[prost(uint64, tag = "2")]
    pub limit: u64,
}

/// `cpu.stat`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Cpu {
    /// `usage_usec`.
    #[prost(uint64, tag = "1")]
    pub usage_usec: u64,
    /// `user_usec`.
    #[prost(uint64, tag = "2")]
    pub user_usec: u64,
    /// `system_usec`.
    #[prost(uint64, tag = "3")]
    pub system_usec: u64,
    /// `nr_periods`.
    #[prost(uint64, tag = "4")]
    pub nr_periods: u64,
    /// `nr_throttled`.
    #[prost(uint64, tag = "5")]
    pub nr_throttled: u64,
    /// `throttled_usec`.
    #[prost(uint64, tag = "6")]
    pub throttled_usec: u64,
}

/// `memory.stat` and the files beside it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Memory {
    /// `anon`.
    #[prost(uint64, tag = "1")]
    pub anon: u64,
    /// `file`.
    #[prost(uint64, tag = "2")]
    pub file: u64,
    /// `kernel_stack`.
    #[prost(uint64, tag = "3")]
    pub kernel_stack: u64,
    /// `slab`.
    #[prost(uint64, tag = "4")]
    pub slab: u64,
    /// `sock`.
    #[prost(uint64, tag = "5")]
    pub sock: u64,
    /// `shmem`.
    #[prost(uint64, tag = "6")]
    pub shmem: u64,
    /// `file_mapped`.
    #[prost(uint64, tag = "7")]
    pub file_mapped: u64,
    /// `file_dirty`.
    #[prost(uint64, tag = "8")]
    pub file_dirty: u64,
    /// `file_writeback`.
    #[prost(uint64, tag = "9")]
    pub file_writeback: u64,
    /// `anon_thp`.
    #[prost(uint64, tag = "10")]
    pub anon_thp: u64,
    /// `inactive_anon`.
    #[prost(uint64, tag = "11")]
    pub inactive_anon: u64,
    /// `active_anon`.
    #[prost(uint64, tag = "12")]
    pub active_anon: u64,
    /// `inactive_file`.
    #[prost(uint64, tag = "13")]
    pub inactive_file: u64,
    /// `active_file`.
    #[prost(uint64, tag = "14")]
    pub active_file: u64,
    /// `unevictable`.
    #[prost(uint64, tag = "15")]
    pub unevictable: u64,
    /// `slab_reclaimable`.
    #[prost(uint64, tag = "16")]
    pub slab_reclaimable: u64,
    /// `slab_unreclaimable`.
    #[prost(uint64, tag = "17")]
    pub slab_unreclaimable: u64,
    /// `pgfault`.
    #[prost(uint64, tag = "18")]
    pub pgfault: u64,
    /// `pgmajfault`.
    #[prost(uint64, tag = "19")]
    pub pgmajfault: u64,
    /// `memory.current`.
    #[prost(uint64, tag = "32")]
    pub usage: u64,
    /// `memory.max`.
    #[prost(uint64, tag = "33")]
    pub usage_limit: u64,
    /// `memory.swap.current`.
    #[prost(uint64, tag = "34")]
    pub swap_usage: u64,
    /// `memory.swap.max`.
    #[prost(uint64, tag = "35")]
    pub swap_limit: u64,
    /// `memory.peak`.
    #[prost(uint64, tag = "36")]
    pub max_usage: u64,
}

/// `memory.events`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MemoryEvents {
    /// `low`.
    #[prost(uint64, tag = "1")]
    pub low: u64,
    /// `high`.
    #[prost(uint64, tag = "2")]
    pub high: u64,
    /// `max`.
    #[prost(uint64, tag = "3")]
    pub max: u64,
    /// `oom`.
    #[prost(uint64, tag = "4")]
    pub oom: u64,
    /// `oom_kill`.
    #[prost(uint64, tag = "5")]
    pub oom_kill: u64,
}

/// `io.stat`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Io {
    /// Per device.
    #[prost(message, repeated, tag = "1")]
    pub usage: Vec<IoEntry>,
}

/// One device.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IoEntry {
    /// Its major number.
    #[prost(uint64, tag = "1")]
    pub major: u64,
    /// Its minor number.
    #[prost(uint64, tag = "2")]
    pub minor: u64,
    /// Bytes read.
    #[prost(uint64, tag = "3")]
    pub rbytes: u64,
    /// Bytes written.
    #[prost(uint64, tag = "4")]
    pub wbytes: u64,
    /// Reads.
    #[prost(uint64, tag = "5")]
    pub rios: u64,
    /// Writes.
    #[prost(uint64, tag = "6")]
    pub wios: u64,
}
