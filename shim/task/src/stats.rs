//! The runtime's figures as containerd's metrics.

use contracts_runtime_api::stats::{Blkio, BlkioEntry, MemoryEntry, Stats};
use contracts_shim_api::metrics::{v1, v2};
use contracts_shim_api::types::pack;
use prost_types::Any;

/// The `Any` of `StatsResponse`, of the type that fits the cgroups in use.
pub(crate) fn metrics(stats: &Stats) -> Any {
    if stats.unified { pack(&unified(stats)) } else { pack(&legacy(stats)) }
}

fn legacy(stats: &Stats) -> v1::Metrics {
    let (cpu, memory) = (&stats.cpu, &stats.memory);
    v1::Metrics {
        hugetlb: stats
            .hugetlb
            .iter()
            .map(|(size, pages)| v1::Hugetlb {
                usage: pages.usage,
                max: pages.max,
                failcnt: pages.failcnt,
                pagesize: size.clone(),
            })
            .collect(),
        pids: Some(v1::Pids { current: stats.pids.current, limit: stats.pids.limit }),
        cpu: Some(v1::Cpu {
            usage: Some(v1::CpuUsage {
                total: cpu.usage.total,
                kernel: cpu.usage.kernel,
                user: cpu.usage.user,
                per_cpu: cpu.usage.percpu.clone(),
            }),
            throttling: Some(v1::Throttling {
                periods: cpu.throttling.periods,
                throttled_periods: cpu.throttling.throttled_periods,
                throttled_time: cpu.throttling.throttled_time,
            }),
        }),
        memory: Some(v1::Memory {
            usage: Some(entry(memory.usage)),
            swap: Some(entry(memory.swap)),
            kernel: Some(entry(memory.kernel)),
            kernel_tcp: Some(entry(memory.kernel_tcp)),
            ..memory_lines(stats)
        }),
        blkio: Some(blkio(&stats.blkio)),
        memory_oom_control: Some(v1::OomControl {
            oom_kill: memory.oom_kills,
            ..v1::OomControl::default()
        }),
    }
}

fn entry(entry: MemoryEntry) -> v1::MemoryEntry {
    v1::MemoryEntry {
        limit: entry.limit,
        usage: entry.usage,
        max: entry.max,
        failcnt: entry.failcnt,
    }
}

/// The lines of v1's `memory.stat`.
fn memory_lines(stats: &Stats) -> v1::Memory {
    let line = |name: &str| stats.memory.raw.get(name).copied().unwrap_or(0);
    v1::Memory {
        cache: line("cache"),
        rss: line("rss"),
        rss_huge: line("rss_huge"),
        mapped_file: line("mapped_file"),
        dirty: line("dirty"),
        writeback: line("writeback"),
        pg_pg_in: line("pgpgin"),
        pg_pg_out: line("pgpgout"),
        pg_fault: line("pgfault"),
        pg_maj_fault: line("pgmajfault"),
        inactive_anon: line("inactive_anon"),
        active_anon: line("active_anon"),
        inactive_file: line("inactive_file"),
        active_file: line("active_file"),
        unevictable: line("unevictable"),
        hierarchical_memory_limit: line("hierarchical_memory_limit"),
        hierarchical_swap_limit: line("hierarchical_memsw_limit"),
        total_cache: line("total_cache"),
        total_rss: line("total_rss"),
        total_rss_huge: line("total_rss_huge"),
        total_mapped_file: line("total_mapped_file"),
        total_dirty: line("total_dirty"),
        total_writeback: line("total_writeback"),
        total_pg_pg_in: line("total_pgpgin"),
        total_pg_pg_out: line("total_pgpgout"),
        total_pg_fault: line("total_pgfault"),
        total_pg_maj_fault: line("total_pgmajfault"),
        total_inactive_anon: line("total_inactive_anon"),
        total_active_anon: line("total_active_anon"),
        total_inactive_file: line("total_inactive_file"),
        total_active_file: line("total_active_file"),
        total_unevictable: line("total_unevictable"),
        ..v1::Memory::default()
    }
}

fn blkio(blkio: &Blkio) -> v1::BlkIo {
    let entries = |entries: &[BlkioEntry]| {
        entries
            .iter()
            .map(|entry| v1::BlkIoEntry {
                op: entry.op.clone(),
                device: String::new(),
                major: entry.major,
                minor: entry.minor,
                value: entry.value,
            })
            .collect()
    };
    v1::BlkIo {
        io_service_bytes_recursive: entries(&blkio.io_service_bytes_recursive),
        io_serviced_recursive: entries(&blkio.io_serviced_recursive),
        io_queued_recursive: entries(&blkio.io_queue_recursive),
        io_service_time_recursive: entries(&blkio.io_service_time_recursive),
        io_wait_time_recursive: entries(&blkio.io_wait_time_recursive),
        io_merged_recursive: entries(&blkio.io_merged_recursive),
        io_time_recursive: entries(&blkio.io_time_recursive),
        sectors_recursive: entries(&blkio.sectors_recursive),
    }
}

fn unified(stats: &Stats) -> v2::Metrics {
    let (cpu, memory) = (&stats.cpu, &stats.memory);
    let line = |name: &str| memory.raw.get(name).copied().unwrap_or(0);
    v2::Metrics {
        pids: Some(v2::Pids { current: stats.pids.current, limit: stats.pids.limit }),
        cpu: Some(v2::Cpu {
            usage_usec: cpu.usage.total / 1_000,
            user_usec: cpu.usage.user / 1_000,
            system_usec: cpu.usage.kernel / 1_000,
            nr_periods: cpu.throttling.periods,
            nr_throttled: cpu.throttling.throttled_periods,
            throttled_usec: cpu.throttling.throttled_time / 1_000,
        }),
        memory: Some(v2::Memory {
            anon: line("anon"),
            file: line("file"),
            kernel_stack: line("kernel_stack"),
            slab: line("slab"),
            sock: line("sock"),
            shmem: line("shmem"),
            file_mapped: line("file_mapped"),
            file_dirty: line("file_dirty"),
            file_writeback: line("file_writeback"),
            anon_thp: line("anon_thp"),
            inactive_anon: line("inactive_anon"),
            active_anon: line("active_anon"),
            inactive_file: line("inactive_file"),
            active_file: line("active_file"),
            unevictable: line("unevictable"),
            slab_reclaimable: line("slab_reclaimable"),
            slab_unreclaimable: line("slab_unreclaimable"),
            pgfault: line("pgfault"),
            pgmajfault: line("pgmajfault"),
            usage: memory.usage.usage,
            usage_limit: memory.usage.limit,
            swap_usage: memory.swap.usage,
            swap_limit: memory.swap.limit,
            max_usage: memory.usage.max,
        }),
        io: Some(v2::Io { usage: io_entries(&stats.blkio) }),
        memory_events: Some(v2::MemoryEvents {
            oom_kill: memory.oom_kills,
            ..v2::MemoryEvents::default()
        }),
    }
}

/// One entry a device, from the runtime's one a device and operation.
fn io_entries(blkio: &Blkio) -> Vec<v2::IoEntry> {
    let mut devices = std::collections::BTreeMap::new();
    let lists = [(&blkio.io_service_bytes_recursive, true), (&blkio.io_serviced_recursive, false)];
    for (list, is_bytes) in lists {
        for figure in list {
            let device = devices.entry((figure.major, figure.minor)).or_insert(v2::IoEntry {
                major: figure.major,
                minor: figure.minor,
                ..v2::IoEntry::default()
            });
            match (figure.op.to_ascii_lowercase().as_str(), is_bytes) {
                ("read", true) => device.rbytes = figure.value,
                ("write", true) => device.wbytes = figure.value,
                ("read", false) => device.rios = figure.value,
                ("write", false) => device.wios = figure.value,
                _ => {}
            }
        }
    }
    devices.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_shim_api::types::unpack;

    #[test]
    fn figures_travel_in_the_type_of_their_cgroup_version() {
        let mut stats = Stats::default();
        stats.cpu.usage.total = 5_000;
        stats.memory.usage.usage = 7;
        stats.memory.raw.insert("total_inactive_file".into(), 3);
        let read = BlkioEntry { major: 8, minor: 0, op: "Read".into(), value: 9 };
        stats.blkio.io_service_bytes_recursive.push(read);
        let legacy: v1::Metrics = unpack(&metrics(&stats)).unwrap();
        let memory = legacy.memory.unwrap();
        assert_eq!((memory.total_inactive_file, memory.usage.unwrap().usage), (3, 7));
        stats.unified = true;
        let unified: v2::Metrics = unpack(&metrics(&stats)).unwrap();
        assert_eq!(unified.cpu.unwrap().usage_usec, 5);
        assert_eq!(unified.io.unwrap().usage[0].rbytes, 9);
    }
}
