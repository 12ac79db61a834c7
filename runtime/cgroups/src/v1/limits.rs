//! Limits, written to the files of cgroup v1.

use super::Split;
use crate::{Error, knob};
use base_oci::runtime::{BlockIo, BlockIoThrottle, Cpu, Memory, Resources};
use rustix::io::Errno;
use std::path::Path;

pub(super) fn apply(cgroup: &Split, resources: &Resources) -> Result<(), Error> {
    let folder =
        |controller: &str, what| cgroup.folder(controller).ok_or(Error::NoController(what));
    if !resources.unified.is_empty() {
        return Err(Error::NotUnified);
    }
    if let Some(limits) = &resources.memory
        && *limits != Memory::default()
    {
        memory(folder("memory", "memory")?, limits)?;
    }
    if let Some(limits) = &resources.cpu {
        let time = Cpu { cpus: String::new(), mems: String::new(), ..limits.clone() };
        if time != Cpu::default() {
            cpu(folder("cpu", "cpu")?, limits)?;
        }
        for (file, list) in [("cpuset.cpus", &limits.cpus), ("cpuset.mems", &limits.mems)] {
            if !list.is_empty() {
                knob::write(folder("cpuset", "cpuset")?, file, list)?;
            }
        }
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit)
        && limit != 0
    {
        let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
        knob::write(folder("pids", "pids")?, "pids.max", value)?;
    }
    if let Some(limits) = &resources.block_io
        && *limits != BlockIo::default()
    {
        block_io(folder("blkio", "block I/O")?, limits)?;
    }
    for limit in &resources.hugepage_limits {
        let folder = folder("hugetlb", "hugetlb")?;
        let size = &limit.page_size;
        knob::write(folder, &format!("hugetlb.{size}.limit_in_bytes"), limit.limit)?;
        let reserved = format!("hugetlb.{size}.rsvd.limit_in_bytes");
        knob::write_if_present(folder, &reserved, limit.limit)?;
    }
    if !resources.rdma.is_empty() {
        knob::write_rdma(folder("rdma", "RDMA")?, &resources.rdma)?;
    }
    if let Some(network) = &resources.network {
        if let Some(class) = network.class_id.filter(|class| *class != 0) {
            knob::write(folder("net_cls", "network class")?, "net_cls.classid", class)?;
        }
        for priority in &network.priorities {
            let value = format!("{} {}", priority.name, priority.priority);
            knob::write(folder("net_prio", "network priority")?, "net_prio.ifpriomap", value)?;
        }
    }
    Ok(())
}

fn memory(folder: &Path, limits: &Memory) -> Result<(), Error> {
    const LIMIT: &str = "memory.limit_in_bytes";
    const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";
    if let Some(limit) = limits.limit
        && limits.check_before_update == Some(true)
        && limit > 0
    {
        let used = knob::number(folder, "memory.usage_in_bytes");
        if used > limit.unsigned_abs() {
            return Err(Error::MemoryInUse { used, limit });
        }
    }
    let swap = |value: i64| match knob::write(folder, WITH_SWAP, value) {
        // No swap accounting: unlimited swap is what there is.
        Err(error) if error.errno() == Some(Errno::NOENT) && value == -1 => Ok(()),
        result => result,
    };
    let limit = limits.limit.filter(|limit| *limit != 0);
    // Without a limit of memory there is none of memory with swap, which could not be less.
    let unlimited = (limit == Some(-1) && folder.join(WITH_SWAP).exists()).then_some(-1);
    match (limit, limits.swap.filter(|swap| *swap != 0).or(unlimited)) {
        (Some(limit), Some(with_swap)) => {
            // Memory alone can never exceed memory with swap: which of the two may be written
            // first depends on whether they grow or shrink.
            match knob::write(folder, LIMIT, limit) {
                Err(error) if error.errno() == Some(Errno::INVAL) => {
                    swap(with_swap)?;
                    knob::write(folder, LIMIT, limit)?;
                }
                result => {
                    result?;
                    swap(with_swap)?;
                }
            }
        }
        (Some(limit), None) => knob::write(folder, LIMIT, limit)?,
        (None, Some(with_swap)) => swap(with_swap)?,
        (None, None) => {}
    }
    if let Some(value) = limits.reservation.filter(|value| *value != 0) {
        knob::write(folder, "memory.soft_limit_in_bytes", value)?;
    }
    if limits.disable_oom_killer == Some(true) {
        knob::write(folder, "memory.oom_control", 1)?;
    }
    if let Some(value) = limits.swappiness {
        if value > 100 {
            return Err(Error::Invalid { what: "swappiness", value: value.to_string() });
        }
        knob::write(folder, "memory.swappiness", value)?;
    }
    Ok(())
}

fn cpu(folder: &Path, limits: &Cpu) -> Result<(), Error> {
    if let Some(shares) = limits.shares.filter(|shares| *shares != 0) {
        knob::write(folder, "cpu.shares", shares)?;
    }
    if let Some(idle) = limits.idle {
        knob::write(folder, "cpu.idle", idle)?;
    }
    bandwidth(folder, limits)?;
    realtime(folder, limits)
}

/// Quota, period and burst: no burst may be longer than the quota, and no parent may have a smaller
/// share of its period. Which of them may be written first depends on what is in force.
fn bandwidth(folder: &Path, limits: &Cpu) -> Result<(), Error> {
    const PERIOD: &str = "cpu.cfs_period_us";
    const BURST: &str = "cpu.cfs_burst_us";
    let quota = limits.quota.filter(|quota| *quota != 0);
    let (mut period, mut burst) = (limits.period.filter(|period| *period != 0), limits.burst);
    if let Some(value) = period
        && !knob::write_before(folder, PERIOD, value, quota.is_some())?
    {
        period = None;
    }
    if let Some(value) = burst {
        match knob::write_before(folder, BURST, value, quota.is_some()) {
            Ok(true) => {}
            Ok(false) => burst = None,
            // A kernel before 5.14: there it is left out, as under runc.
            Err(error) if error.errno() == Some(Errno::NOENT) => burst = None,
            Err(error) => return Err(error),
        }
    }
    if let Some(quota) = quota {
        knob::write(folder, "cpu.cfs_quota_us", quota)?;
    }
    if let Some(period) = period {
        knob::write(folder, PERIOD, period)?;
    }
    if let Some(burst) = burst {
        knob::write(folder, BURST, burst)?;
    }
    Ok(())
}

/// The period may not be less than the runtime.
fn realtime(folder: &Path, limits: &Cpu) -> Result<(), Error> {
    const PERIOD: &str = "cpu.rt_period_us";
    let runtime = limits.realtime_runtime.filter(|runtime| *runtime != 0);
    let mut period = limits.realtime_period.filter(|period| *period != 0);
    if let Some(value) = period
        && !knob::write_before(folder, PERIOD, value, runtime.is_some())?
    {
        period = None;
    }
    if let Some(runtime) = runtime {
        knob::write(folder, "cpu.rt_runtime_us", runtime)?;
    }
    if let Some(period) = period {
        knob::write(folder, PERIOD, period)?;
    }
    Ok(())
}

fn block_io(folder: &Path, limits: &BlockIo) -> Result<(), Error> {
    // The weight's file is named after the scheduler that keeps it.
    let weight_file = |plain: &str, bfq: &str| {
        if folder.join(plain).exists() { plain.to_owned() } else { bfq.to_owned() }
    };
    if let Some(weight) = limits.weight.filter(|weight| *weight != 0) {
        knob::write(folder, &weight_file("blkio.weight", "blkio.bfq.weight"), weight)?;
    }
    if let Some(weight) = limits.leaf_weight.filter(|weight| *weight != 0) {
        knob::write(folder, "blkio.leaf_weight", weight)?;
    }
    for device in &limits.weight_device {
        let (major, minor) = (device.major, device.minor);
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let file = weight_file("blkio.weight_device", "blkio.bfq.weight_device");
            knob::write(folder, &file, format!("{major}:{minor} {weight}"))?;
        }
        if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
            let value = format!("{major}:{minor} {weight}");
            knob::write(folder, "blkio.leaf_weight_device", value)?;
        }
    }
    let throttle = |file: &str, devices: &[BlockIoThrottle]| -> Result<(), Error> {
        for BlockIoThrottle { major, minor, rate } in devices {
            knob::write(folder, file, format!("{major}:{minor} {rate}"))?;
        }
        Ok(())
    };
    throttle("blkio.throttle.read_bps_device", &limits.throttle_read_bps_device)?;
    throttle("blkio.throttle.write_bps_device", &limits.throttle_write_bps_device)?;
    throttle("blkio.throttle.read_iops_device", &limits.throttle_read_iops_device)?;
    throttle("blkio.throttle.write_iops_device", &limits.throttle_write_iops_device)
}
