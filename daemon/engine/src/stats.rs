//! `GET /containers/{id}/stats`: one sampler for each watched container, shared by all watchers.

use crate::container::Container;
use crate::error::Result;
use crate::requests::StatsOptions;
use crate::shared::Shared;
use base_errors::Chain;
use contracts_engine_api::container::{
    BlkioStatEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats,
    StatsResponse, ThrottlingData,
};
use contracts_engine_api::timestamp;
use contracts_shim_api::metrics::{v1, v2};
use contracts_shim_api::types::Named as _;
use contracts_supervisor_api::services::tasks::MetricsRequest;
use jiff::Timestamp;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// The time between two samples.
const PERIOD: Duration = Duration::from_secs(1);
/// Samples that a slow watcher may lag behind.
const LAG: usize = 4;

/// A container's watchers.
#[derive(Default)]
pub(crate) struct Hub(Mutex<Option<broadcast::Sender<Arc<StatsResponse>>>>);

impl Shared {
    /// `GET /containers/{id}/stats`.
    pub(crate) async fn container_stats(
        self: &Arc<Self>,
        id: &str,
        options: StatsOptions,
    ) -> Result<mpsc::Receiver<StatsResponse>> {
        let container = self.containers.find(id)?;
        let (sender, receiver) = mpsc::channel(1);
        if !options.stream && (options.one_shot || !container.view().has_task()) {
            // The channel was made a moment ago and is empty.
            let _ = sender.try_send(self.sample(&container).await);
            return Ok(receiver);
        }
        let shared = self.clone();
        tokio::spawn(async move {
            let mut samples = shared.watch_stats(&container);
            if !container.view().has_task() {
                // As dockerd: an empty sample now, real ones once it runs.
                let _ = sender.send(shared.sample(&container).await).await;
            }
            let mut first = true;
            loop {
                // Cancel-safe: a broadcast receiver loses nothing when dropped.
                let sample = tokio::select! {
                    () = sender.closed() => return,
                    sample = samples.recv() => sample,
                };
                let sample = match sample {
                    Ok(sample) => sample,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                // One sample alone has nothing to be compared with.
                if !options.stream
                    && std::mem::take(&mut first)
                    && sample.preread == timestamp::ZERO
                {
                    continue;
                }
                if sender.send((*sample).clone()).await.is_err() || !options.stream {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    /// Joins a container's watchers; the first one starts the sampler.
    fn watch_stats(
        self: &Arc<Self>,
        container: &Arc<Container>,
    ) -> broadcast::Receiver<Arc<StatsResponse>> {
        let mut hub = container.stats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*hub {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(LAG);
        *hub = Some(sender.clone());
        let (shared, container) = (self.clone(), container.clone());
        tokio::spawn(async move { shared.sampler(&container, sender).await });
        receiver
    }

    async fn sampler(&self, container: &Container, sender: broadcast::Sender<Arc<StatsResponse>>) {
        let mut ticks = tokio::time::interval(PERIOD);
        let mut last: Option<Arc<StatsResponse>> = None;
        loop {
            ticks.tick().await;
            {
                // Under the hub's lock, so that nobody joins a sampler that is about to end.
                let mut hub = container.stats.0.lock().unwrap_or_else(PoisonError::into_inner);
                if sender.receiver_count() == 0 || container.view().removed.is_some() {
                    *hub = None;
                    return;
                }
            }
            if !container.view().has_task() {
                last = None;
                continue;
            }
            let mut sample = self.sample(container).await;
            if let Some(last) = &last {
                sample.preread.clone_from(&last.read);
                sample.precpu_stats = last.cpu_stats.clone();
            }
            let sample = Arc::new(sample);
            last = Some(sample.clone());
            let _ = sender.send(sample);
        }
    }

    /// One sample; zeros for what does not run.
    async fn sample(&self, container: &Container) -> StatsResponse {
        let empty = StatsResponse {
            id: container.id().to_string(),
            name: format!("/{}", container.record.name),
            os_type: "linux".to_owned(),
            read: timestamp::ZERO.to_owned(),
            preread: timestamp::ZERO.to_owned(),
            ..StatsResponse::default()
        };
        if !container.view().has_task() {
            return empty;
        }
        let request = MetricsRequest { filters: vec![format!("id=={}", container.id())] };
        let answer = self.supervisor.tasks().metrics(self.supervisor.call(request)).await;
        let metrics = match answer {
            Ok(answer) => answer.into_inner().metrics,
            Err(error) => {
                tracing::debug!(container = %container.id(), error = error.message(), "metrics");
                return empty;
            }
        };
        let id = container.id().as_str();
        let Some(data) = metrics.into_iter().find(|metric| metric.id == id).and_then(|m| m.data)
        else {
            return empty;
        };
        let mut sample = StatsResponse {
            read: timestamp::to_text(Timestamp::now()),
            networks: self.network_stats(container).await,
            ..empty
        };
        if data.type_url.ends_with(v1::Metrics::TYPE_URL) {
            if let Ok(metrics) = v1::Metrics::decode(&data.value[..]) {
                fill_v1(&mut sample, metrics);
            }
        } else if data.type_url.ends_with(v2::Metrics::TYPE_URL)
            && let Ok(metrics) = v2::Metrics::decode(&data.value[..])
        {
            fill_v2(&mut sample, metrics);
        }
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        (sample.cpu_stats.system_cpu_usage, sample.cpu_stats.online_cpus) = processors(&stat);
        let total = crate::system::memory_total();
        let limit = &mut sample.memory_stats.limit;
        if *limit == 0 || *limit > total {
            *limit = total;
        }
        sample
    }

    async fn network_stats(&self, container: &Container) -> Option<BTreeMap<String, NetworkStats>> {
        container.view().state.sandbox?;
        let id = container.id().clone();
        let counters = self.network("count traffic", move |networks| networks.counters(&id)).await;
        let counters = match counters {
            Ok(Ok(counters)) => counters,
            Ok(Err(error)) => {
                tracing::debug!(container = %container.id(), error = %Chain(&error), "counters");
                return None;
            }
            Err(_) => return None,
        };
        let map: BTreeMap<String, NetworkStats> = counters
            .into_iter()
            .filter(|counter| counter.interface != "lo")
            .map(|counter| {
                let stats = NetworkStats {
                    rx_bytes: counter.rx_bytes,
                    rx_packets: counter.rx_packets,
                    rx_errors: counter.rx_errors,
                    rx_dropped: counter.rx_dropped,
                    tx_bytes: counter.tx_bytes,
                    tx_packets: counter.tx_packets,
                    tx_errors: counter.tx_errors,
                    tx_dropped: counter.tx_dropped,
                };
                (counter.interface, stats)
            })
            .collect();
        (!map.is_empty()).then_some(map)
    }
}

fn fill_v1(sample: &mut StatsResponse, metrics: v1::Metrics) {
    if let Some(cpu) = metrics.cpu {
        let usage = cpu.usage.unwrap_or_default();
        let throttling = cpu.throttling.unwrap_or_default();
        sample.cpu_stats = CpuStats {
            cpu_usage: CpuUsage {
                total_usage: usage.total,
                percpu_usage: (!usage.per_cpu.is_empty()).then_some(usage.per_cpu),
                usage_in_kernelmode: usage.kernel,
                usage_in_usermode: usage.user,
            },
            throttling_data: ThrottlingData {
                periods: throttling.periods,
                throttled_periods: throttling.throttled_periods,
                throttled_time: throttling.throttled_time,
            },
            ..CpuStats::default()
        };
    }
    if let Some(memory) = metrics.memory {
        let usage = memory.usage.clone().unwrap_or_default();
        sample.memory_stats = MemoryStats {
            usage: usage.usage,
            max_usage: usage.max,
            failcnt: usage.failcnt,
            limit: usage.limit,
            stats: Some(memory_v1(&memory)),
        };
    }
    if let Some(pids) = metrics.pids {
        sample.pids_stats = pids_stats(pids.current, pids.limit);
    }
    if let Some(blkio) = metrics.blkio {
        let list = |entries: Vec<v1::BlkIoEntry>| {
            let entry = |one: v1::BlkIoEntry| BlkioStatEntry {
                major: one.major,
                minor: one.minor,
                op: one.op,
                value: one.value,
            };
            Some(entries.into_iter().map(entry).collect())
        };
        sample.blkio_stats = BlkioStats {
            io_service_bytes_recursive: list(blkio.io_service_bytes_recursive),
            io_serviced_recursive: list(blkio.io_serviced_recursive),
            io_queue_recursive: list(blkio.io_queued_recursive),
            io_service_time_recursive: list(blkio.io_service_time_recursive),
            io_wait_time_recursive: list(blkio.io_wait_time_recursive),
            io_merged_recursive: list(blkio.io_merged_recursive),
            io_time_recursive: list(blkio.io_time_recursive),
            sectors_recursive: list(blkio.sectors_recursive),
        };
    }
}

/// The counters of `memory.stat`, by the kernel's names.
fn memory_v1(memory: &v1::Memory) -> BTreeMap<String, u64> {
    [
        ("active_anon", memory.active_anon),
        ("active_file", memory.active_file),
        ("cache", memory.cache),
        ("dirty", memory.dirty),
        ("hierarchical_memory_limit", memory.hierarchical_memory_limit),
        ("hierarchical_memsw_limit", memory.hierarchical_swap_limit),
        ("inactive_anon", memory.inactive_anon),
        ("inactive_file", memory.inactive_file),
        ("mapped_file", memory.mapped_file),
        ("pgfault", memory.pg_fault),
        ("pgmajfault", memory.pg_maj_fault),
        ("pgpgin", memory.pg_pg_in),
        ("pgpgout", memory.pg_pg_out),
        ("rss", memory.rss),
        ("rss_huge", memory.rss_huge),
        ("total_active_anon", memory.total_active_anon),
        ("total_active_file", memory.total_active_file),
        ("total_cache", memory.total_cache),
        ("total_dirty", memory.total_dirty),
        ("total_inactive_anon", memory.total_inactive_anon),
        ("total_inactive_file", memory.total_inactive_file),
        ("total_mapped_file", memory.total_mapped_file),
        ("total_pgfault", memory.total_pg_fault),
        ("total_pgmajfault", memory.total_pg_maj_fault),
        ("total_pgpgin", memory.total_pg_pg_in),
        ("total_pgpgout", memory.total_pg_pg_out),
        ("total_rss", memory.total_rss),
        ("total_rss_huge", memory.total_rss_huge),
        ("total_unevictable", memory.total_unevictable),
        ("total_writeback", memory.total_writeback),
        ("unevictable", memory.unevictable),
        ("writeback", memory.writeback),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn fill_v2(sample: &mut StatsResponse, metrics: v2::Metrics) {
    const NANOSECONDS: u64 = 1_000;
    if let Some(cpu) = metrics.cpu {
        sample.cpu_stats = CpuStats {
            cpu_usage: CpuUsage {
                total_usage: cpu.usage_usec * NANOSECONDS,
                percpu_usage: None,
                usage_in_kernelmode: cpu.system_usec * NANOSECONDS,
                usage_in_usermode: cpu.user_usec * NANOSECONDS,
            },
            throttling_data: ThrottlingData {
                periods: cpu.nr_periods,
                throttled_periods: cpu.nr_throttled,
                throttled_time: cpu.throttled_usec * NANOSECONDS,
            },
            ..CpuStats::default()
        };
    }
    if let Some(memory) = metrics.memory {
        let stats = [
            ("active_anon", memory.active_anon),
            ("active_file", memory.active_file),
            ("anon", memory.anon),
            ("anon_thp", memory.anon_thp),
            ("file", memory.file),
            ("file_dirty", memory.file_dirty),
            ("file_mapped", memory.file_mapped),
            ("file_writeback", memory.file_writeback),
            ("inactive_anon", memory.inactive_anon),
            ("inactive_file", memory.inactive_file),
            ("kernel_stack", memory.kernel_stack),
            ("pgfault", memory.pgfault),
            ("pgmajfault", memory.pgmajfault),
            ("shmem", memory.shmem),
            ("slab", memory.slab),
            ("slab_reclaimable", memory.slab_reclaimable),
            ("slab_unreclaimable", memory.slab_unreclaimable),
            ("sock", memory.sock),
            ("unevictable", memory.unevictable),
        ];
        sample.memory_stats = MemoryStats {
            usage: memory.usage,
            limit: memory.usage_limit,
            failcnt: metrics.memory_events.as_ref().map_or(0, |events| events.oom),
            stats: Some(stats.map(|(name, value)| (name.to_owned(), value)).into()),
            ..MemoryStats::default()
        };
    }
    if let Some(pids) = metrics.pids {
        sample.pids_stats = pids_stats(pids.current, pids.limit);
    }
    if let Some(io) = metrics.io {
        let mut entries = Vec::new();
        for one in io.usage {
            for (op, value) in [("read", one.rbytes), ("write", one.wbytes)] {
                let (major, minor) = (one.major, one.minor);
                entries.push(BlkioStatEntry { major, minor, op: op.to_owned(), value });
            }
        }
        sample.blkio_stats.io_service_bytes_recursive = Some(entries);
    }
}

/// No limit is told as the largest number.
const fn pids_stats(current: u64, limit: u64) -> PidsStats {
    PidsStats { current, limit: if limit == 0 { u64::MAX } else { limit } }
}

/// All CPU time since boot, of every state, in nanoseconds, and the number of processors that are
/// on (proc_stat(5), the lines of `cpu`).
fn processors(stat: &str) -> (u64, u32) {
    const TICK: u64 = 1_000_000_000 / 100;
    let mut lines = stat.lines().take_while(|line| line.starts_with("cpu"));
    let all = lines.next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guest times are in user already.
    let ticks = all.split_whitespace().skip(1).take(8);
    let time = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * TICK;
    (time, lines.map(|_| 1).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_that_are_on_are_counted_with_their_time() {
        let stat = "cpu  10 0 20 1000 5 0 1 4 3 0\ncpu0 5 0 10 500 2 0 1 2 3 0\n\
                    cpu3 5 0 10 500 3 0 0 2 0 0\nintr 12 cpu\nctxt 7\n";
        assert_eq!(processors(stat), (10_400_000_000, 2));
        assert_eq!(processors(""), (0, 0));
        let (time, count) = processors(&std::fs::read_to_string("/proc/stat").unwrap());
        assert!(time > 0 && count > 0, "{time} {count}");
    }

    #[test]
    fn cgroup_v1_figures_keep_their_names() {
        let mut sample = StatsResponse::default();
        let memory = v1::Memory {
            usage: Some(v1::MemoryEntry { usage: 7, max: 9, limit: 100, failcnt: 1 }),
            total_inactive_file: 3,
            ..v1::Memory::default()
        };
        let metrics = v1::Metrics {
            memory: Some(memory),
            pids: Some(v1::Pids { current: 2, limit: 0 }),
            ..v1::Metrics::default()
        };
        fill_v1(&mut sample, metrics);
        assert_eq!((sample.memory_stats.usage, sample.memory_stats.max_usage), (7, 9));
        assert_eq!(sample.memory_stats.stats.unwrap()["total_inactive_file"], 3);
        assert_eq!(sample.pids_stats.limit, u64::MAX);
    }
}
