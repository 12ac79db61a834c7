//! Limits, written to the files of cgroup v2.

use crate::{Error, knob};
use base_oci::runtime::{BlockIo, BlockIoThrottle, Cpu, Memory, Resources};
use std::path::Path;

pub(super) fn apply(folder: &Path, resources: &Resources) -> Result<(), Error> {
    if let Some(limits) = &resources.memory {
        memory(folder, limits)?;
    }
    if let Some(limits) = &resources.cpu {
        cpu(folder, limits)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit)
        && limit != 0
    {
        knob::write(folder, "pids.max", or_max(limit))?;
    }
    if let Some(limits) = &resources.block_io {
        block_io(folder, limits)?;
    }
    for limit in &resources.hugepage_limits {
        knob::write(folder, &format!("hugetlb.{}.max", limit.page_size), limit.limit)?;
    }
    for (device, limits) in &resources.rdma {
        let count = |count: Option<u32>| count.map_or_else(|| "max".to_owned(), |n| n.to_string());
        let (handles, objects) = (count(limits.hca_handles), count(limits.hca_objects));
        let value = format!("{device} hca_handle={handles} hca_object={objects}");
        knob::write(folder, "rdma.max", value)?;
    }
    for (file, value) in &resources.unified {
        if file.contains('/') || file.is_empty() {
            return Err(Error::Invalid { what: "cgroup file", value: file.clone() });
        }
        for line in value.lines() {
            knob::write(folder, file, line)?;
        }
    }
    Ok(())
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn memory(folder: &Path, limits: &Memory) -> Result<(), Error> {
    let limit = limits.limit.filter(|limit| *limit != 0);
    if let Some(limit) = limit
        && limits.check_before_update == Some(true)
        && limit > 0
    {
        let used = knob::number(folder, "memory.current");
        if used > limit.unsigned_abs() {
            return Err(Error::MemoryInUse { used, limit });
        }
    }
    if let Some(with_swap) = limits.swap.filter(|swap| *swap != 0) {
        // The configuration counts memory and swap together, v2 apart.
        let swap = match (with_swap, limit) {
            (..=-1, _) => "max".to_owned(),
            (with_swap, Some(limit)) if limit > 0 && with_swap >= limit => {
                (with_swap - limit).to_string()
            }
            (with_swap, _) => {
                return Err(Error::Invalid { what: "swap limit", value: with_swap.to_string() });
            }
        };
        knob::write(folder, "memory.swap.max", swap)?;
    }
    if let Some(limit) = limit {
        knob::write(folder, "memory.max", or_max(limit))?;
    }
    if let Some(reservation) = limits.reservation.filter(|value| *value != 0) {
        knob::write(folder, "memory.low", or_max(reservation))?;
    }
    Ok(())
}

fn cpu(folder: &Path, limits: &Cpu) -> Result<(), Error> {
    if let Some(idle) = limits.idle {
        knob::write(folder, "cpu.idle", idle)?;
    }
    if let Some(shares) = limits.shares.filter(|shares| *shares != 0)
        && limits.idle != Some(1)
    {
        knob::write(folder, "cpu.weight", weight_of_shares(shares))?;
    }
    if limits.quota.is_some() || limits.period.is_some() {
        let quota = match limits.quota {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".to_owned(),
        };
        let period = limits.period.filter(|period| *period != 0).unwrap_or(100_000);
        knob::write(folder, "cpu.max", format!("{quota} {period}"))?;
    }
    if let Some(burst) = limits.burst {
        knob::write(folder, "cpu.max.burst", burst)?;
    }
    for (file, list) in [("cpuset.cpus", &limits.cpus), ("cpuset.mems", &limits.mems)] {
        if !list.is_empty() {
            knob::write(folder, file, list)?;
        }
    }
    Ok(())
}

/// v1's 2…262144 on v2's 1…10000, linearly, as every engine of this age does.
fn weight_of_shares(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9_999 / 262_142
}

fn block_io(folder: &Path, limits: &BlockIo) -> Result<(), Error> {
    if let Some(weight) = limits.weight.filter(|weight| *weight != 0) {
        if folder.join("io.bfq.weight").exists() {
            knob::write(folder, "io.bfq.weight", weight)?;
        } else {
            // 10…1000 on 1…10000.
            let scaled = 1 + u64::from(weight).saturating_sub(10) * 9_999 / 990;
            knob::write(folder, "io.weight", format!("default {scaled}"))?;
        }
    }
    let throttle = |key: &str, devices: &[BlockIoThrottle]| -> Result<(), Error> {
        for BlockIoThrottle { major, minor, rate } in devices {
            knob::write(folder, "io.max", format!("{major}:{minor} {key}={rate}"))?;
        }
        Ok(())
    };
    throttle("rbps", &limits.throttle_read_bps_device)?;
    throttle("wbps", &limits.throttle_write_bps_device)?;
    throttle("riops", &limits.throttle_read_iops_device)?;
    throttle("wiops", &limits.throttle_write_iops_device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_end_to_end() {
        assert_eq!(weight_of_shares(2), 1);
        assert_eq!(weight_of_shares(1024), 39);
        assert_eq!(weight_of_shares(262_144), 10_000);
        assert_eq!(weight_of_shares(u64::MAX), 10_000);
    }

    #[test]
    fn swap_is_counted_without_memory_and_may_not_be_less() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["memory.max", "memory.swap.max"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let limits = |limit, swap| Memory { limit, swap, ..Memory::default() };
        memory(folder.path(), &limits(Some(100), Some(300))).unwrap();
        assert_eq!(knob::read(folder.path(), "memory.swap.max").unwrap(), "200");
        assert!(memory(folder.path(), &limits(Some(300), Some(100))).is_err());
    }
}
