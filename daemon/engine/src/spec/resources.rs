//! Limits: from the request's numbers to the runtime's.

use crate::error::{Error, Result};
use base_oci::runtime::{
    BlockIo, BlockIoThrottle, BlockIoWeight, Cpu, DeviceKind, DeviceRule, Memory, Pids, Resources,
    Rlimit,
};
use contracts_engine_api::container::{HostConfig, ThrottleDevice, Ulimit};
use std::os::linux::fs::MetadataExt;

/// `--cpus` is a share of this period.
const PERIOD_US: u64 = 100_000;

/// The cgroup limits, devices apart.
pub(super) fn resources(host: &HostConfig, devices: Vec<DeviceRule>) -> Result<Resources> {
    Ok(Resources {
        devices,
        memory: Some(memory(host)),
        cpu: Some(cpu(host)),
        pids: host
            .pids_limit
            .map(|limit| Pids { limit: Some(if limit <= 0 { -1 } else { limit }) }),
        block_io: Some(block_io(host)?),
        ..Resources::default()
    })
}

fn memory(host: &HostConfig) -> Memory {
    let positive = |value: i64| (value > 0).then_some(value);
    Memory {
        limit: positive(host.memory),
        reservation: positive(host.memory_reservation),
        swap: (host.memory_swap != 0).then_some(host.memory_swap),
        swappiness: host.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: host.oom_kill_disable,
        ..Memory::default()
    }
}

fn cpu(host: &HostConfig) -> Cpu {
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let mut cpu = Cpu {
        shares: unsigned(host.cpu_shares),
        quota: (host.cpu_quota != 0).then_some(host.cpu_quota),
        period: unsigned(host.cpu_period),
        realtime_runtime: (host.cpu_realtime_runtime != 0).then_some(host.cpu_realtime_runtime),
        realtime_period: unsigned(host.cpu_realtime_period),
        cpus: host.cpuset_cpus.clone(),
        mems: host.cpuset_mems.clone(),
        ..Cpu::default()
    };
    if host.nano_cpus > 0 {
        cpu.period = Some(PERIOD_US);
        cpu.quota = Some(host.nano_cpus * (PERIOD_US as i64) / 1_000_000_000);
    }
    cpu
}

fn block_io(host: &HostConfig) -> Result<BlockIo> {
    let throttles = |list: &Option<Vec<ThrottleDevice>>| {
        let device = |one: &ThrottleDevice| {
            let (major, minor) = numbers(&one.path)?;
            Ok(BlockIoThrottle { major, minor, rate: one.rate })
        };
        list.iter().flatten().map(device).collect::<Result<Vec<_>>>()
    };
    let weights = host.blkio_weight_device.iter().flatten().map(|one| {
        let (major, minor) = numbers(&one.path)?;
        Ok(BlockIoWeight { major, minor, weight: Some(one.weight), ..BlockIoWeight::default() })
    });
    Ok(BlockIo {
        weight: (host.blkio_weight > 0).then_some(host.blkio_weight),
        weight_device: weights.collect::<Result<_>>()?,
        throttle_read_bps_device: throttles(&host.blkio_device_read_bps)?,
        throttle_write_bps_device: throttles(&host.blkio_device_write_bps)?,
        throttle_read_iops_device: throttles(&host.blkio_device_read_iops)?,
        throttle_write_iops_device: throttles(&host.blkio_device_write_iops)?,
        ..BlockIo::default()
    })
}

fn numbers(path: &str) -> Result<(i64, i64)> {
    let device = super::devices::stat(path)
        .map_err(|error| Error::invalid(format!("error stating device {path}: {error}")))?;
    Ok((device.major, device.minor))
}

/// The device rules that every unprivileged container has.
pub(super) fn default_device_rules() -> Vec<DeviceRule> {
    let rule = |allow, major, minor| DeviceRule {
        allow,
        kind: Some(DeviceKind::Character),
        major: Some(major),
        minor: Some(minor),
        access: "rwm".to_owned(),
    };
    vec![
        DeviceRule { allow: false, access: "rwm".to_owned(), ..DeviceRule::default() },
        rule(true, 1, 5),
        rule(true, 1, 3),
        rule(true, 1, 9),
        rule(true, 1, 8),
        rule(true, 5, 0),
        rule(true, 5, 1),
        rule(false, 10, 229),
    ]
}

/// Resource limits: the daemon's defaults, then the container's.
pub(super) fn rlimits(defaults: &[Ulimit], own: &[Ulimit]) -> Vec<Rlimit> {
    let unlimited = |value: i64| if value < 0 { u64::MAX } else { value.unsigned_abs() };
    let mut merged: Vec<&Ulimit> = own.iter().collect();
    merged.extend(defaults.iter().filter(|d| own.iter().all(|one| one.name != d.name)));
    merged
        .iter()
        .map(|limit| Rlimit {
            kind: format!("RLIMIT_{}", limit.name.to_ascii_uppercase()),
            hard: unlimited(limit.hard),
            soft: unlimited(limit.soft),
        })
        .collect()
}

/// The device number of a file, as the specification's pair (makedev(3)).
pub(super) fn split_device(metadata: &std::fs::Metadata) -> (i64, i64) {
    let device = metadata.st_rdev();
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    (major.cast_signed(), (minor & 0xffff_ffff).cast_signed())
}
