//! Use of resources, in the layout that runc's `events --stats` prints under `data`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a container's cgroup has used and may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// CPU time.
    pub cpu: Cpu,
    /// CPUs and memory nodes (v1 only, as under runc).
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages, by size (`2MB`).
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Shares of caches and memory bandwidth.
    pub intel_rdt: IntelRdt,
    /// Nothing: networks are made by others. runc knows some of its own making, for who links it.
    #[serde(skip_deserializing)]
    pub network_interfaces: Option<()>,
    /// Whether the figures come from the unified hierarchy.
    #[serde(skip)]
    pub unified: bool,
}

impl Stats {
    /// The same as it is printed: swap together with memory, on cgroup v2, too.
    #[must_use]
    pub fn to_printed(&self) -> Self {
        let mut stats = self.clone();
        if self.unified {
            let (memory, swap) = (&self.memory.usage, &mut stats.memory.swap);
            swap.usage = swap.usage.saturating_add(memory.usage);
            swap.limit = swap.limit.saturating_add(memory.limit);
            // They need not have been at the most at the same time.
            swap.max = 0;
        }
        stats
    }

    /// The same from what was printed, on a host with or without cgroup v2.
    #[must_use]
    pub fn from_printed(mut self, unified: bool) -> Self {
        self.unified = unified;
        if unified {
            let (memory, swap) = (&self.memory.usage, &mut self.memory.swap);
            swap.usage = swap.usage.saturating_sub(memory.usage);
            if swap.limit != u64::MAX {
                swap.limit = swap.limit.saturating_sub(memory.limit);
            }
        }
        self
    }
}

/// CPU time in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Time used.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: CpuUsage,
    /// Time denied.
    #[serde(skip_serializing_if = "is_default")]
    pub throttling: Throttling,
    /// Time waited for (v2 only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// Which part of the time something was waited for (<https://docs.kernel.org/accounting/psi.html>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Psi {
    /// By at least one task.
    #[serde(skip_serializing_if = "is_default")]
    pub some: PsiTimes,
    /// By all that could do something.
    #[serde(skip_serializing_if = "is_default")]
    pub full: PsiTimes,
}

/// Percents of a while, and microseconds in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PsiTimes {
    /// Percents of the last 10 seconds.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last five minutes.
    pub avg300: f64,
    /// Microseconds.
    pub total: u64,
}

/// Where tasks may run and memory may lie, by the files of the controller that have these names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "cpuset(7) has them")]
pub struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// What resctrl says: nothing is read of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IntelRdt {}

/// CPU time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// All of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// By CPU (v1 only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// By CPU, in the kernel (v1 only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// By CPU, in programs (v1 only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
}

/// CPU bandwidth control.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Throttling {
    /// Periods passed.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Periods in which the quota ran out.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds waited for the next period.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Page cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// All of it.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: MemoryEntry,
    /// Memory and swap (v1), swap (v2; there, too, memory and swap when it is printed).
    #[serde(skip_serializing_if = "is_default")]
    pub swap: MemoryEntry,
    /// Kernel memory.
    #[serde(skip_serializing_if = "is_default")]
    pub kernel: MemoryEntry,
    /// Kernel TCP memory.
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_default")]
    pub kernel_tcp: MemoryEntry,
    /// The kernel's memory.stat.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Time waited for it (v2 only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
    /// How often the out-of-memory killer acted on it.
    #[serde(skip)]
    pub oom_kills: u64,
}

/// A kind of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryEntry {
    /// Ceiling; `u64::MAX` or the kernel's own maximum when there is none.
    pub limit: u64,
    /// In use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// Most ever in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the ceiling was hit.
    pub failcnt: u64,
}

/// Tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pids {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// Ceiling; 0 when there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Blkio {
    /// Bytes moved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Operations queued.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlkioEntry>,
    /// Nanoseconds between dispatch and completion.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    /// Nanoseconds in queues.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    /// Operations merged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    /// Milliseconds of device time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    /// Sectors moved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    /// Time waited for them (v2 only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// A figure of one device and kind of operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    /// Major number.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Minor number.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard` or `Total`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The figure.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hugetlb {
    /// In use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// Most ever in use (v1 only).
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the ceiling was hit.
    pub failcnt: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_printed_together_with_memory_and_read_back_alone() {
        let entry = |usage, limit| MemoryEntry { usage, limit, ..MemoryEntry::default() };
        for (memory, swap, printed) in [
            (entry(10, 100), entry(5, 50), entry(15, 150)),
            (entry(10, 100), entry(5, u64::MAX), entry(15, u64::MAX)),
            (entry(10, u64::MAX), entry(0, u64::MAX), entry(10, u64::MAX)),
        ] {
            let memory = Memory { usage: memory, swap, ..Memory::default() };
            let stats = Stats { memory, unified: true, ..Stats::default() };
            assert_eq!(stats.to_printed().memory.swap, printed);
            assert_eq!(stats.to_printed().from_printed(true), stats);
            let v1 = Stats { unified: false, ..stats };
            assert_eq!(v1.to_printed(), v1);
        }
    }
}
