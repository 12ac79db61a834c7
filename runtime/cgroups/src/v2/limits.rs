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
        let size = &limit.page_size;
        knob::write(folder, &format!("hugetlb.{size}.max"), limit.limit)?;
        knob::write_if_present(folder, &format!("hugetlb.{size}.rsvd.max"), limit.limit)?;
    }
    knob::write_rdma(folder, &resources.rdma)?;
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
    check_memory(folder, limits)?;
    match swap_alone(limits)? {
        // Without swap accounting, none and all of it is what there is.
        Some(None) => knob::write_if_present(folder, "memory.swap.max", "max")?,
        Some(Some(0)) => knob::write_if_present(folder, "memory.swap.max", 0)?,
        Some(Some(swap)) => knob::write(folder, "memory.swap.max", swap)?,
        None => {}
    }
    if let Some(limit) = limits.limit.filter(|limit| *limit != 0) {
        knob::write(folder, "memory.max", or_max(limit))?;
    }
    if let Some(reservation) = limits.reservation.filter(|value| *value != 0) {
        knob::write(folder, "memory.low", or_max(reservation))?;
    }
    Ok(())
}

/// Refuses a limit below what is in use, where that is asked for.
pub(crate) fn check_memory(folder: &Path, limits: &Memory) -> Result<(), Error> {
    if limits.check_before_update != Some(true) {
        return Ok(());
    }
    let used = knob::number(folder, "memory.current");
    for limit in [limits.swap, limits.limit].into_iter().flatten().filter(|limit| *limit > 0) {
        if used >= limit.unsigned_abs() {
            return Err(Error::MemoryInUse { used, limit });
        }
    }
    Ok(())
}

/// The limit of swap, if one is to be set: `None` in it is unlimited. The configuration counts
/// memory and swap together, v2 apart.
pub(crate) fn swap_alone(limits: &Memory) -> Result<Option<Option<u64>>, Error> {
    let limit = limits.limit.filter(|limit| *limit != 0);
    let unlimited = (limit == Some(-1)).then_some(-1);
    let Some(with_swap) = limits.swap.filter(|swap| *swap != 0).or(unlimited) else {
        return Ok(None);
    };
    match (with_swap, limit) {
        (..=-1, _) => Ok(Some(None)),
        // Of memory there is no limit to be taken off.
        (with_swap, Some(-1)) => Ok(Some(Some(with_swap.unsigned_abs()))),
        (_, None) => Err(Error::SwapAlone),
        (with_swap, Some(limit)) if limit > 0 && with_swap >= limit => {
            Ok(Some(Some((with_swap - limit).unsigned_abs())))
        }
        (with_swap, _) => Err(Error::Invalid { what: "swap limit", value: with_swap.to_string() }),
    }
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
    let (quota, period) =
        (limits.quota.filter(|quota| *quota != 0), limits.period.filter(|period| *period != 0));
    let mut burst = limits.burst;
    if let Some(value) = burst
        && !knob::write_before(folder, "cpu.max.burst", value, quota.is_some())?
    {
        // It may not be longer than the quota, in force or to come.
        burst = None;
    }
    if quota.is_some() || period.is_some() {
        // One file holds both; what is left out stays.
        let now = knob::read(folder, "cpu.max").unwrap_or_default();
        let (quota_now, period_now) = now.split_once(' ').unwrap_or(("max", "100000"));
        let quota = quota.map_or_else(|| quota_now.to_owned(), or_max);
        let period = period.map_or_else(|| period_now.to_owned(), |period| period.to_string());
        knob::write(folder, "cpu.max", format!("{quota} {period}"))?;
    }
    if let Some(burst) = burst {
        knob::write(folder, "cpu.max.burst", burst)?;
    }
    for (file, list) in [("cpuset.cpus", &limits.cpus), ("cpuset.mems", &limits.mems)] {
        if !list.is_empty() {
            knob::write(folder, file, list)?;
        }
    }
    Ok(())
}

/// v1's 2…262144 on v2's 1…10000, so that v1's default of 1024 becomes v2's of 100: the curve of
/// runc 1.4 and crun 1.23 and later.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            #[expect(clippy::cast_precision_loss, reason = "at most 18 bits")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "1 to 10000"
            )]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            weight
        }
    }
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
    for device in &limits.weight_device {
        // Only this scheduler has weights by device; runc leaves them out elsewhere, too.
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let value = format!("{}:{} {weight}", device.major, device.minor);
            knob::write_if_present(folder, "io.bfq.weight", value)?;
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
    use base_oci::runtime::{BlockIoWeight, HugepageLimit, Pids, Rdma};

    #[test]
    fn shares_become_weights_end_to_end() {
        assert_eq!(weight_of_shares(2), 1);
        assert_eq!(weight_of_shares(1024), 100);
        assert_eq!(weight_of_shares(512), 59);
        assert_eq!(weight_of_shares(262_144), 10_000);
        assert_eq!(weight_of_shares(u64::MAX), 10_000);
    }

    #[test]
    fn half_of_a_cpu_limit_leaves_the_other_half_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cpu.max"), "50000 100000\n").unwrap();
        cpu(folder.path(), &Cpu { period: Some(200_000), ..Cpu::default() }).unwrap();
        assert_eq!(knob::read(folder.path(), "cpu.max").unwrap(), "50000 200000");
        cpu(folder.path(), &Cpu { quota: Some(-1), ..Cpu::default() }).unwrap();
        assert!(knob::read(folder.path(), "cpu.max").unwrap().starts_with("max 200000"));
    }

    #[test]
    fn swap_is_counted_without_memory_and_may_not_be_less() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["memory.max", "memory.swap.max"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let set = |limit, swap| {
            memory(folder.path(), &Memory { limit, swap, ..Memory::default() })?;
            knob::read(folder.path(), "memory.swap.max")
        };
        assert_eq!(set(Some(100), Some(300)).unwrap(), "200");
        assert_eq!(set(Some(-1), Some(300)).unwrap(), "300");
        assert!(set(Some(300), Some(100)).is_err());
        assert!(matches!(set(None, Some(100)), Err(Error::SwapAlone)));
        assert_eq!(set(Some(-1), None).unwrap(), "max");
        assert_eq!(set(None, Some(-1)).unwrap(), "max");
        // A kernel that does not count swap cannot limit it.
        std::fs::remove_file(folder.path().join("memory.swap.max")).unwrap();
        for swap in [Some(100), Some(-1), None] {
            let limits = Memory { limit: Some(100), swap, ..Memory::default() };
            memory(folder.path(), &limits).unwrap();
        }
        assert!(set(Some(100), Some(300)).is_err());
    }

    #[test]
    fn a_limit_below_the_use_is_refused_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("memory.current"), "1000\n").unwrap();
        std::fs::write(folder.path().join("memory.max"), "").unwrap();
        let limits = Memory { limit: Some(1000), ..Memory::default() };
        memory(folder.path(), &limits).unwrap();
        let checked = Memory { check_before_update: Some(true), ..limits };
        assert!(matches!(memory(folder.path(), &checked), Err(Error::MemoryInUse { .. })));
        memory(folder.path(), &Memory { limit: Some(1001), ..checked }).unwrap();
    }

    #[test]
    fn every_limit_goes_to_its_file() {
        let device = |rate| vec![BlockIoThrottle { major: 8, minor: 0, rate }];
        let resources = Resources {
            memory: Some(Memory {
                limit: Some(1 << 20),
                reservation: Some(1 << 19),
                swap: Some(1 << 21),
                ..Memory::default()
            }),
            cpu: Some(Cpu {
                shares: Some(512),
                quota: Some(20_000),
                period: Some(50_000),
                burst: Some(5_000),
                cpus: "0-1".to_owned(),
                mems: "0".to_owned(),
                idle: Some(0),
                ..Cpu::default()
            }),
            pids: Some(Pids { limit: Some(7) }),
            block_io: Some(BlockIo {
                weight: Some(1000),
                throttle_read_bps_device: device(1),
                ..BlockIo::default()
            }),
            hugepage_limits: vec![HugepageLimit { page_size: "2MB".to_owned(), limit: 2 << 20 }],
            rdma: [("mlx5_1".to_owned(), Rdma { hca_handles: Some(3), hca_objects: None })].into(),
            unified: [
                ("memory.high".to_owned(), "4096".to_owned()),
                ("cgroup.max.depth".to_owned(), "3".to_owned()),
            ]
            .into(),
            ..Resources::default()
        };
        let expected = [
            ("memory.max", "1048576"),
            ("memory.low", "524288"),
            ("memory.swap.max", "1048576"),
            ("memory.high", "4096"),
            ("cpu.weight", "59"),
            ("cpu.max", "20000 50000"),
            ("cpu.max.burst", "5000"),
            ("cpu.idle", "0"),
            ("cpuset.cpus", "0-1"),
            ("cpuset.mems", "0"),
            ("pids.max", "7"),
            ("io.weight", "default 10000"),
            ("io.max", "8:0 rbps=1"),
            ("hugetlb.2MB.max", "2097152"),
            ("hugetlb.2MB.rsvd.max", "2097152"),
            ("rdma.max", "mlx5_1 hca_handle=3 hca_object=max"),
            ("cgroup.max.depth", "3"),
        ];
        let folder = tempfile::tempdir().unwrap();
        for (file, _) in expected {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        apply(folder.path(), &resources).unwrap();
        for (file, value) in expected {
            assert_eq!(knob::read(folder.path(), file).unwrap(), value, "{file}");
        }
        // What is left out stays, and no file outside of the folder is named.
        apply(folder.path(), &Resources::default()).unwrap();
        assert_eq!(knob::read(folder.path(), "pids.max").unwrap(), "7");
        for file in ["../memory.max", "", "nosuch.file"] {
            let unified = [(file.to_owned(), "1".to_owned())].into();
            let resources = Resources { unified, ..Resources::default() };
            assert!(apply(folder.path(), &resources).is_err(), "{file}");
        }
        // BFQ's own file is preferred, and it alone has weights of devices.
        std::fs::write(folder.path().join("io.bfq.weight"), "").unwrap();
        let weight_device =
            vec![BlockIoWeight { major: 8, minor: 0, weight: Some(70), leaf_weight: None }];
        let limits = BlockIo { weight_device, ..BlockIo::default() };
        block_io(folder.path(), &limits).unwrap();
        assert_eq!(knob::read(folder.path(), "io.bfq.weight").unwrap(), "8:0 70");
    }
}
