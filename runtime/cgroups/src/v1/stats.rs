//! What a container uses, read from the files of cgroup v1.

use super::Split;
use crate::{events, knob};
use contracts_runtime_api::stats::{
    Blkio, BlkioEntry, Cpu, Cpuset, Hugetlb, Memory, MemoryEntry, Pids, Stats,
};
use std::path::Path;

/// The kernel counts CPU time of `cpuacct.stat` in ticks of 1/100 s for user space.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

pub(super) fn read(cgroup: &Split) -> Stats {
    let mut stats = Stats::default();
    if let Some(folder) = cgroup.folder("cpuacct") {
        cpu_usage(folder, &mut stats.cpu);
    }
    if let Some(folder) = cgroup.folder("cpu") {
        for (key, value) in knob::pairs(folder, "cpu.stat") {
            match key.as_str() {
                "nr_periods" => stats.cpu.throttling.periods = value,
                "nr_throttled" => stats.cpu.throttling.throttled_periods = value,
                "throttled_time" => stats.cpu.throttling.throttled_time = value,
                _ => {}
            }
        }
    }
    if let Some(folder) = cgroup.folder("cpuset") {
        stats.cpuset = cpuset(folder);
    }
    if let Some(folder) = cgroup.folder("memory") {
        stats.memory = memory(folder);
    }
    if let Some(folder) = cgroup.folder("pids") {
        let limit = knob::number(folder, "pids.max");
        stats.pids = Pids {
            current: knob::number(folder, "pids.current"),
            limit: if limit == u64::MAX { 0 } else { limit },
        };
    }
    if let Some(folder) = cgroup.folder("blkio") {
        stats.blkio = blkio(folder);
    }
    if let Some(folder) = cgroup.folder("hugetlb") {
        for size in knob::page_sizes(folder, ".usage_in_bytes") {
            let number = |what: &str| knob::number(folder, &format!("hugetlb.{size}.{what}"));
            let entry = Hugetlb {
                usage: number("usage_in_bytes"),
                max: number("max_usage_in_bytes"),
                failcnt: number("failcnt"),
            };
            stats.hugetlb.insert(size, entry);
        }
    }
    stats
}

fn cpu_usage(folder: &Path, cpu: &mut Cpu) {
    cpu.usage.total = knob::number(folder, "cpuacct.usage");
    cpu.usage.percpu = knob::read(folder, "cpuacct.usage_percpu")
        .unwrap_or_default()
        .split_whitespace()
        .map(knob::parse)
        .collect();
    // `cpu user system`, and a line as `0 123 456` for each.
    for line in knob::read(folder, "cpuacct.usage_all").unwrap_or_default().lines().skip(1) {
        let mut figures = line.split(' ').skip(1).map(knob::parse);
        if let (Some(user), Some(kernel)) = (figures.next(), figures.next()) {
            cpu.usage.percpu_user.push(user);
            cpu.usage.percpu_kernel.push(kernel);
        }
    }
    for (key, value) in knob::pairs(folder, "cpuacct.stat") {
        match key.as_str() {
            "user" => cpu.usage.user = value * NANOSECONDS_PER_TICK,
            "system" => cpu.usage.kernel = value * NANOSECONDS_PER_TICK,
            _ => {}
        }
    }
}

fn cpuset(folder: &Path) -> Cpuset {
    let list = |name| knob::list(&knob::read(folder, name).unwrap_or_default());
    let number = |name: &str| knob::number(folder, &format!("cpuset.{name}"));
    let level = knob::read(folder, "cpuset.sched_relax_domain_level");
    Cpuset {
        cpus: list("cpuset.cpus"),
        cpu_exclusive: number("cpu_exclusive"),
        mems: list("cpuset.mems"),
        mem_hardwall: number("mem_hardwall"),
        mem_exclusive: number("mem_exclusive"),
        memory_migrate: number("memory_migrate"),
        memory_spread_page: number("memory_spread_page"),
        memory_spread_slab: number("memory_spread_slab"),
        memory_pressure: number("memory_pressure"),
        sched_load_balance: number("sched_load_balance"),
        sched_relax_domain_level: level.ok().and_then(|text| text.parse().ok()).unwrap_or(0),
    }
}

fn memory(folder: &Path) -> Memory {
    let entry = |prefix: &str| MemoryEntry {
        limit: knob::number(folder, &format!("{prefix}.limit_in_bytes")),
        usage: knob::number(folder, &format!("{prefix}.usage_in_bytes")),
        max: knob::number(folder, &format!("{prefix}.max_usage_in_bytes")),
        failcnt: knob::number(folder, &format!("{prefix}.failcnt")),
    };
    let raw: std::collections::BTreeMap<_, _> =
        knob::pairs(folder, "memory.stat").into_iter().collect();
    let oom_kills = events::kills(folder, "memory.oom_control");
    Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: entry("memory"),
        swap: entry("memory.memsw"),
        kernel: entry("memory.kmem"),
        kernel_tcp: entry("memory.kmem.tcp"),
        raw,
        psi: None,
        oom_kills: oom_kills.unwrap_or(0),
    }
}

fn blkio(folder: &Path) -> Blkio {
    // The throttling layer counts every device; the scheduler's own counters only exist with BFQ.
    let entries = |names: &[&str]| {
        names
            .iter()
            .map(|name| parse_blkio(&knob::read(folder, name).unwrap_or_default()))
            .find(|entries| !entries.is_empty())
            .unwrap_or_default()
    };
    Blkio {
        io_service_bytes_recursive: entries(&[
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes",
        ]),
        io_serviced_recursive: entries(&[
            "blkio.bfq.io_serviced_recursive",
            "blkio.throttle.io_serviced_recursive",
            "blkio.throttle.io_serviced",
        ]),
        io_queue_recursive: entries(&["blkio.bfq.io_queued_recursive"]),
        io_service_time_recursive: entries(&["blkio.bfq.io_service_time_recursive"]),
        io_wait_time_recursive: entries(&["blkio.bfq.io_wait_time_recursive"]),
        io_merged_recursive: entries(&["blkio.bfq.io_merged_recursive"]),
        io_time_recursive: entries(&["blkio.bfq.time_recursive"]),
        sectors_recursive: entries(&["blkio.bfq.sectors_recursive"]),
        psi: None,
    }
}

/// Lines as `8:0 Read 4096` or `8:0 17`; the sum over all devices is left out, as runc does.
fn parse_blkio(text: &str) -> Vec<BlkioEntry> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (major, minor) = words.next()?.split_once(':')?;
            let (op, value) = match (words.next()?, words.next()) {
                (op, Some(value)) => (op, value),
                (value, None) => ("", value),
            };
            Some(BlkioEntry {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                op: op.to_owned(),
                value: value.parse().ok()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_listed_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cpuset.cpus", "0-2,5\n"),
            ("cpuset.sched_relax_domain_level", "-1\n"),
            ("cpuset.sched_load_balance", "1\n"),
            ("cpuacct.usage_all", "cpu user system\n0 5 6\n1 7 8\n"),
        ] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let found = cpuset(folder.path());
        assert_eq!((found.cpus, found.mems), (vec![0, 1, 2, 5], vec![]));
        assert_eq!((found.sched_relax_domain_level, found.sched_load_balance), (-1, 1));
        let mut cpu = Cpu::default();
        cpu_usage(folder.path(), &mut cpu);
        assert_eq!((cpu.usage.percpu_user, cpu.usage.percpu_kernel), (vec![5, 7], vec![6, 8]));
    }

    #[test]
    fn block_device_lines_are_read_and_the_sum_is_left_out() {
        let entries = parse_blkio("254:0 Read 4096\n254:0 Write 0\n8:0 17\nTotal 4096\n");
        assert_eq!(entries.len(), 3);
        assert_eq!(
            (entries[0].major, entries[0].op.as_str(), entries[0].value),
            (254, "Read", 4096)
        );
        assert_eq!((entries[2].op.as_str(), entries[2].value), ("", 17));
    }
}
