//! `io.containerd.cgroups.v1.Metrics`.

use crate::types::Named;
use prost::Message;

/// A container's figures under cgroup v1.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Metrics {
    /// Huge pages, per size.
    #[prost(message, repeated, tag = "1")]
    pub hugetlb: Vec<Hugetlb>,
    /// The pids controller.
    #[prost(message, optional, tag = "2")]
    pub pids: Option<Pids>,
    /// The cpu and cpuacct controllers.
    #[prost(message, optional, tag = "3")]
    pub cpu: Option<Cpu>,
    /// The memory controller.
    #[prost(message, optional, tag = "4")]
    pub memory: Option<Memory>,
    /// The blkio controller.
    #[prost(message, optional, tag = "5")]
    pub blkio: Option<BlkIo>,
    /// Out of memory.
    #[prost(message, optional, tag = "9")]
    pub memory_oom_control: Option<OomControl>,
}

impl Named for Metrics {
    const TYPE_URL: &str = "io.containerd.cgroups.v1.Metrics";
}

/// Huge pages of one size.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Hugetlb {
    /// Bytes in use.
    #[prost(uint64, tag = "1")]
    pub usage: u64,
    /// Most bytes ever in use.
    #[prost(uint64, tag = "2")]
    pub max: u64,
    /// Refused allocations.
    #[prost(uint64, tag = "3")]
    pub failcnt: u64,
    /// The size, as in the file names.
    #[prost(string, tag = "4")]
    pub pagesize: String,
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

/// Processor time.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Cpu {
    /// Used.
    #[prost(message, optional, tag = "1")]
    pub usage: Option<CpuUsage>,
    /// Withheld.
    #[prost(message, optional, tag = "2")]
    pub throttling: Option<Throttling>,
}

/// Processor time used, in nanoseconds.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CpuUsage {
    /// All.
    #[prost(uint64, tag = "1")]
    pub total: u64,
    /// In the kernel.
    #[prost(uint64, tag = "2")]
    pub kernel: u64,
    /// Outside of it.
    #[prost(uint64, tag = "3")]
    pub user: u64,
    /// Per processor.
    #[prost(uint64, repeated, tag = "4")]
    pub per_cpu: Vec<u64>,
}

/// Effect of the processor limit.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Throttling {
    /// Periods seen.
    #[prost(uint64, tag = "1")]
    pub periods: u64,
    /// Periods with the limit reached.
    #[prost(uint64, tag = "2")]
    pub throttled_periods: u64,
    /// Nanoseconds waited.
    #[prost(uint64, tag = "3")]
    pub throttled_time: u64,
}

/// Memory; the first 32 are `memory.stat`'s lines.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Memory {
    /// `cache`.
    #[prost(uint64, tag = "1")]
    pub cache: u64,
    /// `rss`.
    #[prost(uint64, tag = "2")]
    pub rss: u64,
    /// `rss_huge`.
    #[prost(uint64, tag = "3")]
    pub rss_huge: u64,
    /// `mapped_file`.
    #[prost(uint64, tag = "4")]
    pub mapped_file: u64,
    /// `dirty`.
    #[prost(uint64, tag = "5")]
    pub dirty: u64,
    /// `writeback`.
    #[prost(uint64, tag = "6")]
    pub writeback: u64,
    /// `pgpgin`.
    #[prost(uint64, tag = "7")]
    pub pg_pg_in: u64,
    /// `pgpgout`.
    #[prost(uint64, tag = "8")]
    pub pg_pg_out: u64,
    /// `pgfault`.
    #[prost(uint64, tag = "9")]
    pub pg_fault: u64,
    /// `pgmajfault`.
    #[prost(uint64, tag = "10")]
    pub pg_maj_fault: u64,
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
    /// `hierarchical_memory_limit`.
    #[prost(uint64, tag = "16")]
    pub hierarchical_memory_limit: u64,
    /// `hierarchical_memsw_limit`.
    #[prost(uint64, tag = "17")]
    pub hierarchical_swap_limit: u64,
    /// `total_cache`.
    #[prost(uint64, tag = "18")]
    pub total_cache: u64,
    /// `total_rss`.
    #[prost(uint64, tag = "19")]
    pub total_rss: u64,
    /// `total_rss_huge`.
    #[prost(uint64, tag = "20")]
    pub total_rss_huge: u64,
    /// `total_mapped_file`.
    #[prost(uint64, tag = "21")]
    pub total_mapped_file: u64,
    /// `total_dirty`.
    #[prost(uint64, tag = "22")]
    pub total_dirty: u64,
    /// `total_writeback`.
    #[prost(uint64, tag = "23")]
    pub total_writeback: u64,
    /// `total_pgpgin`.
    #[prost(uint64, tag = "24")]
    pub total_pg_pg_in: u64,
    /// `total_pgpgout`.
    #[prost(uint64, tag = "25")]
    pub total_pg_pg_out: u64,
    /// `total_pgfault`.
    #[prost(uint64, tag = "26")]
    pub total_pg_fault: u64,
    /// `total_pgmajfault`.
    #[prost(uint64, tag = "27")]
    pub total_pg_maj_fault: u64,
    /// `total_inactive_anon`.
    #[prost(uint64, tag = "28")]
    pub total_inactive_anon: u64,
    /// `total_active_anon`.
    #[prost(uint64, tag = "29")]
    pub total_active_anon: u64,
    /// `total_inactive_file`.
    #[prost(uint64, tag = "30")]
    pub total_inactive_file: u64,
    /// `total_active_file`.
    #[prost(uint64, tag = "31")]
    pub total_active_file: u64,
    /// `total_unevictable`.
    #[prost(uint64, tag = "32")]
    pub total_unevictable: u64,
    /// Memory.
    #[prost(message, optional, tag = "33")]
    pub usage: Option<MemoryEntry>,
    /// Memory and swap.
    #[prost(message, optional, tag = "34")]
    pub swap: Option<MemoryEntry>,
    /// The kernel's, for the container.
    #[prost(message, optional, tag = "35")]
    pub kernel: Option<MemoryEntry>,
    /// TCP buffers.
    #[prost(message, optional, tag = "36")]
    pub kernel_tcp: Option<MemoryEntry>,
}

/// One sort of memory.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MemoryEntry {
    /// Most allowed.
    #[prost(uint64, tag = "1")]
    pub limit: u64,
    /// Now.
    #[prost(uint64, tag = "2")]
    pub usage: u64,
    /// Most ever.
    #[prost(uint64, tag = "3")]
    pub max: u64,
    /// Times the limit was hit.
    #[prost(uint64, tag = "4")]
    pub failcnt: u64,
}

/// `memory.oom_control`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OomControl {
    /// Processes wait instead of dying.
    #[prost(uint64, tag = "1")]
    pub oom_kill_disable: u64,
    /// Some do now.
    #[prost(uint64, tag = "2")]
    pub under_oom: u64,
    /// Processes killed.
    #[prost(uint64, tag = "3")]
    pub oom_kill: u64,
}

/// Block input and output.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BlkIo {
    /// Bytes.
    #[prost(message, repeated, tag = "1")]
    pub io_service_bytes_recursive: Vec<BlkIoEntry>,
    /// Requests.
    #[prost(message, repeated, tag = "2")]
    pub io_serviced_recursive: Vec<BlkIoEntry>,
    /// Requests queued.
    #[prost(message, repeated, tag = "3")]
    pub io_queued_recursive: Vec<BlkIoEntry>,
    /// Nanoseconds served.
    #[prost(message, repeated, tag = "4")]
    pub io_service_time_recursive: Vec<BlkIoEntry>,
    /// Nanoseconds waited.
    #[prost(message, repeated, tag = "5")]
    pub io_wait_time_recursive: Vec<BlkIoEntry>,
    /// Requests merged.
    #[prost(message, repeated, tag = "6")]
    pub io_merged_recursive: Vec<BlkIoEntry>,
    /// Milliseconds of device time.
    #[prost(message, repeated, tag = "7")]
    pub io_time_recursive: Vec<BlkIoEntry>,
    /// Sectors.
    #[prost(message, repeated, tag = "8")]
    pub sectors_recursive: Vec<BlkIoEntry>,
}

/// One figure of one device.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BlkIoEntry {
    /// `Read`, `Write`, …
    #[prost(string, tag = "1")]
    pub op: String,
    /// Its path.
    #[prost(string, tag = "2")]
    pub device: String,
    /// Its major number.
    #[prost(uint64, tag = "3")]
    pub major: u64,
    /// Its minor number.
    #[prost(uint64, tag = "4")]
    pub minor: u64,
    /// The figure.
    #[prost(uint64, tag = "5")]
    pub value: u64,
}
