//! What a container uses, read from the files of cgroup v2.

use crate::knob;
use contracts_runtime_api::stats::{
    Blkio, BlkioEntry, Hugetlb, Memory, MemoryEntry, Pids, Psi, Stats,
};
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
    stats.cpu.psi = psi(folder, "cpu.pressure");
    stats.memory = memory(folder);
    let limit = knob::number(folder, "pids.max");
    stats.pids = Pids {
        current: match knob::read(folder, "pids.current") {
            Ok(current) => knob::parse(&current),
            // Without the controller.
            Err(_) => knob::read(folder, "cgroup.procs").unwrap_or_default().lines().count() as u64,
        },
        limit: if limit == u64::MAX { 0 } else { limit },
    };
    stats.blkio = blkio(&knob::read(folder, "io.stat").unwrap_or_default());
    stats.blkio.psi = psi(folder, "io.pressure");
    for size in knob::page_sizes(folder, ".current") {
        let pages = hugetlb(folder, &size);
        stats.hugetlb.insert(size, pages);
    }
    stats
}

/// What is reserved, as under runc; in use is less until it is written to.
fn hugetlb(folder: &Path, size: &str) -> Hugetlb {
    let reserved = knob::read(folder, &format!("hugetlb.{size}.rsvd.current"));
    let in_use = || knob::number(folder, &format!("hugetlb.{size}.current"));
    let events = knob::pairs(folder, &format!("hugetlb.{size}.events"));
    Hugetlb {
        usage: reserved.map_or_else(|_| in_use(), |text| knob::parse(&text)),
        max: 0,
        failcnt: events.iter().find_map(|(key, n)| (key == "max").then_some(*n)).unwrap_or(0),
    }
}

/// Lines as `some avg10=0.00 avg60=0.12 avg300=1.00 total=123`; nothing where the kernel does not
/// count.
fn psi(folder: &Path, file: &str) -> Option<Psi> {
    let text = knob::read(folder, file).ok()?;
    let mut psi = Psi::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let times = match words.next() {
            Some("some") => &mut psi.some,
            Some("full") => &mut psi.full,
            _ => continue,
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let percents = || value.parse().unwrap_or(0.0);
            match key {
                "avg10" => times.avg10 = percents(),
                "avg60" => times.avg60 = percents(),
                "avg300" => times.avg300 = percents(),
                "total" => times.total = knob::parse(value),
                _ => {}
            }
        }
    }
    Some(psi)
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
        usage: entry("memory"),
        swap: entry("memory.swap"),
        oom_kills: event("oom_kill"),
        psi: psi(folder, "memory.pressure"),
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
    use contracts_runtime_api::stats::PsiTimes;

    #[test]
    fn huge_pages_and_pressure_are_counted_where_the_kernel_does() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!((read(folder.path()).hugetlb.len(), read(folder.path()).cpu.psi), (0, None));
        for (file, text) in [
            ("hugetlb.2MB.current", "2097152\n"),
            ("hugetlb.2MB.rsvd.current", "4194304\n"),
            ("hugetlb.2MB.events", "max 3\n"),
            ("hugetlb.1GB.current", "0\n"),
            ("io.pressure", "some avg10=0.50 avg60=0.00 avg300=1.25 total=77\nfull avg10=2.00\n"),
            ("cgroup.procs", "1\n2\n"),
        ] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let stats = read(folder.path());
        assert_eq!(stats.hugetlb["2MB"], Hugetlb { usage: 4 << 20, max: 0, failcnt: 3 });
        assert_eq!(stats.hugetlb["1GB"], Hugetlb::default());
        let psi = stats.blkio.psi.unwrap();
        assert_eq!(psi.some, PsiTimes { avg10: 0.5, avg60: 0.0, avg300: 1.25, total: 77 });
        assert_eq!(psi.full, PsiTimes { avg10: 2.0, ..PsiTimes::default() });
        assert_eq!(stats.pids.current, 2);
    }

    #[test]
    fn io_lines_become_entries_of_bytes_and_operations() {
        let stats = blkio("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0\nodd\n");
        assert_eq!(stats.io_service_bytes_recursive.len(), 2);
        assert_eq!(stats.io_serviced_recursive[1].value, 2);
    }
}
