//! From a sample's counters to the figures that people read, by docker/cli's formulas.

use crate::quantity::{memory_size, short_size};
use contracts_engine_api::container::{CpuStats, MemoryStats, StatsResponse};

/// What a row shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) pids: u64,
    cpu_percent: f64,
    memory: f64,
    memory_limit: f64,
    received: f64,
    sent: f64,
    read: f64,
    written: f64,
}

#[expect(clippy::cast_precision_loss, reason = "at most four digits are shown")]
impl Figures {
    pub(super) fn of(stats: &StatsResponse) -> Self {
        let networks = || stats.networks.iter().flat_map(|networks| networks.values());
        let blocks = |operation: &str| -> f64 {
            let entries = stats.blkio_stats.io_service_bytes_recursive.iter().flatten();
            entries
                .filter(|entry| entry.op.eq_ignore_ascii_case(operation))
                .map(|entry| entry.value as f64)
                .sum()
        };
        Self {
            id: stats.id.clone(),
            name: stats.name.trim_start_matches('/').to_owned(),
            pids: stats.pids_stats.current,
            cpu_percent: cpu_percent(&stats.precpu_stats, &stats.cpu_stats),
            memory: used_memory(&stats.memory_stats) as f64,
            memory_limit: stats.memory_stats.limit as f64,
            received: networks().map(|network| network.rx_bytes as f64).sum(),
            sent: networks().map(|network| network.tx_bytes as f64).sum(),
            read: blocks("read"),
            written: blocks("write"),
        }
    }

    pub(super) fn cpu(&self) -> String {
        format!("{:.2}%", self.cpu_percent)
    }

    pub(super) fn memory(&self) -> String {
        format!("{} / {}", memory_size(self.memory), memory_size(self.memory_limit))
    }

    pub(super) fn memory_share(&self) -> String {
        let share =
            if self.memory_limit == 0.0 { 0.0 } else { self.memory / self.memory_limit * 100.0 };
        format!("{share:.2}%")
    }

    pub(super) fn network_io(&self) -> String {
        format!("{} / {}", short_size(self.received), short_size(self.sent))
    }

    pub(super) fn block_io(&self) -> String {
        format!("{} / {}", short_size(self.read), short_size(self.written))
    }
}

/// The share of one CPU between two samples.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn cpu_percent(before: &CpuStats, now: &CpuStats) -> f64 {
    let used = now.cpu_usage.total_usage as f64 - before.cpu_usage.total_usage as f64;
    let passed = now.system_cpu_usage as f64 - before.system_cpu_usage as f64;
    let cpus = match now.online_cpus {
        0 => now.cpu_usage.percpu_usage.as_ref().map_or(0, Vec::len) as f64,
        cpus => f64::from(cpus),
    };
    if used > 0.0 && passed > 0.0 { used / passed * cpus * 100.0 } else { 0.0 }
}

/// Without the page cache that the kernel would give back at once.
fn used_memory(memory: &MemoryStats) -> u64 {
    let stats = memory.stats.as_ref();
    let inactive = ["total_inactive_file", "inactive_file"]
        .iter()
        .find_map(|name| stats.and_then(|stats| stats.get(*name)));
    match inactive {
        Some(&inactive) if inactive < memory.usage => memory.usage - inactive,
        _ => memory.usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_dockers_formulas() {
        let mut stats = StatsResponse::default();
        stats.cpu_stats.cpu_usage.total_usage = 300;
        stats.precpu_stats.cpu_usage.total_usage = 100;
        stats.cpu_stats.system_cpu_usage = 2000;
        stats.precpu_stats.system_cpu_usage = 1000;
        stats.cpu_stats.online_cpus = 2;
        stats.memory_stats.usage = 3 << 20;
        stats.memory_stats.limit = 4 << 20;
        stats.memory_stats.stats = Some([("inactive_file".to_owned(), 1 << 20)].into());
        let figures = Figures::of(&stats);
        assert_eq!(figures.cpu(), "40.00%");
        assert_eq!(figures.memory(), "2MiB / 4MiB");
        assert_eq!(figures.memory_share(), "50.00%");
        assert_eq!(figures.network_io(), "0B / 0B");
        assert_eq!(Figures::of(&StatsResponse::default()).cpu(), "0.00%");
    }
}
