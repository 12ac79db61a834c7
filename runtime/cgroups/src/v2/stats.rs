//! What a container uses, read from the files of cgroup v2.

use crate::knob;
use contracts_runtime_api::stats::{Blkio, BlkioEntry, Memory, MemoryEntry, Pids, Stats};
use std::path::Path;

const NANOSECONDS_PER_MICROSECOND: u64 = 1_000;

pub(super) fn read(folder: &Path) -> Stats {
    let mut stats = Stats { unified: true, ..Stats::default() };
    for (key, value) in knob::pairs(folder, "cpu.stat") {
        let nanoseconds = value.saturating_mul(NANOSECONDS_PER_MICROSECOND);
        match key.as_str() {
            "usage_usec" => stats.cpu.usage.total = nanoseconds,
            "user_usec" => stats.cpu.usage.user = nanoseconds,
            "system_usec" => stats.cpu.usage.kernel = nanoseconds,
            "nr_periods" => stats.cpu.throttling.periods = value,
            "nr_throttled" => stats.cpu.throttling.throttled_periods = value,
            "throttled_usec" => stats.cpu.throttling.throttled_time = nanoseconds,
            _ => {}
        }
    }
    stats.memory = memory(folder);
    let limit = knob::number(folder, "pids.max");
    stats.pids = Pids {
        current: knob::number(folder, "pids.current"),
        limit: if limit == u64::MAX { 0 } else { limit },
    };
    stats.blkio = blkio(&knob::read(folder, "io.stat").unwrap_or_default());
    stats
}

fn memory(folder: &Path) -> Memory {
    let raw: std::collections::BTreeMap<_, _> =
        knob::pairs(folder, "memory.stat").into_iter().collect();
    let events = knob::pairs(folder, "memory.events");
    let event = |name: &str| {
        events.iter().find_map(|(key, value)| (key == name).then_some(*value)).unwrap_or(0)
    };
    let entry = |prefix: &str| MemoryEntry {
        limit: knob::number(folder, &format!("{prefix}.max")),
        usage: knob::number(folder, &format!("{prefix}.current")),
        max: knob::number(folder, &format!("{prefix}.peak")),
        failcnt: 0,
    };
    Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage: MemoryEntry { failcnt: event("max"), ..entry("memory") },
        swap: entry("memory.swap"),
        oom_kills: event("oom_kill"),
        raw,
        ..Memory::default()
    }
}

/// Lines as `8:0 rbytes=1 wbytes=2 rios=3 wios=4`.
fn blkio(text: &str) -> Blkio {
    let mut stats = Blkio::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut stats.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut stats.io_service_bytes_recursive, "Write"),
                "rios" => (&mut stats.io_serviced_recursive, "Read"),
                "wios" => (&mut stats.io_serviced_recursive, "Write"),
                _ => continue,
            };
            let value = knob::parse(value);
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_lines_become_entries_of_bytes_and_operations() {
        let stats = blkio("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0\nodd\n");
        assert_eq!(stats.io_service_bytes_recursive.len(), 2);
        assert_eq!(stats.io_serviced_recursive[1].value, 2);
    }
}
