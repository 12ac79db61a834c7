//! Limits as properties of a unit (systemd.resource-control(5)), those of them that systemd has;
//! the rest is only in the cgroup's files.

use super::Property;
use super::dbus::Value;
use crate::devices::{Kind, Rule, effective};
use crate::v2::limits::{swap_alone, weight_of_shares};
use crate::{Record, knob};
use base_oci::runtime::{BlockIo, BlockIoThrottle, Cpu, DeviceRule, Memory, Resources};
use std::path::Path;

const INFINITY: u64 = u64::MAX;
const DEFAULT_PERIOD: u64 = 100_000;
const SECOND: u64 = 1_000_000;
/// systemd keeps a quota as whole percents of a second.
const PERCENT: u64 = SECOND / 100;
/// The kernel has no higher number of a CPU (`CONFIG_NR_CPUS`) or memory node.
const MAX_BIT: usize = 8191;
/// The versions of systemd that a property came with.
const QUOTA_PERIOD: u32 = 242;
const ALLOWED: u32 = 244;
const IDLE: u32 = 252;

/// The properties for some limits; those that are left out stay.
pub(super) fn properties(
    resources: &Resources,
    cgroup: &Record,
) -> Result<Vec<Property>, crate::Error> {
    let mut found = Vec::new();
    let mut add = |name: &str, value: u64| found.push(Property::new(name, Value::U64(value)));
    let memory = resources.memory.clone().unwrap_or_default();
    let cpu = resources.cpu.clone().unwrap_or_default();
    if cgroup.unified {
        memory_v2(&memory, &mut add)?;
        if let Some(shares) = cpu.shares.filter(|shares| *shares != 0 && cpu.idle != Some(1)) {
            add("CPUWeight", weight_of_shares(shares));
        }
    } else {
        if let Some(limit) = memory.limit.filter(|limit| *limit != 0) {
            add("MemoryLimit", or_infinity(limit));
        }
        if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
            add("CPUShares", shares);
        }
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|p| p.limit).filter(|l| *l != 0) {
        add("TasksMax", or_infinity(limit));
    }
    if cgroup.unified && cpu.idle == Some(1) {
        found.push(Property::new("CPUWeight", Value::U64(0)).since(IDLE));
    }
    quota(&cpu, cgroup, &mut found);
    set("AllowedCPUs", "cpus", &cpu.cpus, &mut found)?;
    set("AllowedMemoryNodes", "mems", &cpu.mems, &mut found)?;
    block_io(&resources.block_io.clone().unwrap_or_default(), cgroup.unified, &mut found);
    for (file, value) in &resources.unified {
        unified(file, value.trim(), &mut found)?;
    }
    Ok(found)
}

fn or_infinity(limit: i64) -> u64 {
    u64::try_from(limit).unwrap_or(INFINITY)
}

fn memory_v2(memory: &Memory, add: &mut impl FnMut(&str, u64)) -> Result<(), crate::Error> {
    if let Some(swap) = swap_alone(memory)? {
        add("MemorySwapMax", swap.unwrap_or(INFINITY));
    }
    if let Some(limit) = memory.limit.filter(|limit| *limit != 0) {
        add("MemoryMax", or_infinity(limit));
    }
    if let Some(reservation) = memory.reservation.filter(|value| *value != 0) {
        add("MemoryLow", or_infinity(reservation));
    }
    Ok(())
}

/// A quota and its period; where only one is given, the cgroup says what the other is.
fn quota(cpu: &Cpu, cgroup: &Record, found: &mut Vec<Property>) {
    let (quota, period) = (cpu.quota.filter(|q| *q != 0), cpu.period.filter(|p| *p != 0));
    if quota.is_none() && period.is_none() {
        return;
    }
    let (quota_now, period_now) = quota_now(cgroup);
    let period_is_given = period.is_some();
    let period = period.or(period_now).unwrap_or(DEFAULT_PERIOD);
    let quota = quota.map_or(quota_now, |quota| u64::try_from(quota).ok());
    add_quota(quota, period, found);
    if period_is_given {
        let value = Value::U64(period);
        found.push(Property::new("CPUQuotaPeriodUSec", value).since(QUOTA_PERIOD));
    }
}

/// The quota in force, `None` for no limit, and its period, both in microseconds.
fn quota_now(cgroup: &Record) -> (Option<u64>, Option<u64>) {
    let read = |folder: &Path, file| knob::read(folder, file).ok();
    let folder = cgroup.hierarchies.iter().find(|h| cgroup.unified || h.has("cpu"));
    let Some(folder) = folder.map(|hierarchy| hierarchy.path.as_path()) else {
        return (None, None);
    };
    let text = if cgroup.unified {
        read(folder, "cpu.max")
    } else {
        let quota = read(folder, "cpu.cfs_quota_us").unwrap_or_default();
        read(folder, "cpu.cfs_period_us").map(|period| format!("{quota} {period}"))
    };
    let text = text.unwrap_or_default();
    let (quota, period) = text.split_once(' ').unwrap_or_default();
    (quota.parse().ok(), period.parse().ok())
}

fn add_quota(quota: Option<u64>, period: u64, found: &mut Vec<Property>) {
    let a_second = quota.map_or(INFINITY, |quota| {
        let microseconds = u128::from(quota) * u128::from(SECOND) / u128::from(period.max(1));
        // Upwards: the container's own file, written after, may not allow more than its unit.
        u64::try_from(microseconds).unwrap_or(INFINITY - PERCENT).next_multiple_of(PERCENT)
    });
    found.push(Property::new("CPUQuotaPerSecUSec", Value::U64(a_second)));
}

/// A list of CPUs or memory nodes as a bit field.
fn set(
    name: &str,
    what: &'static str,
    list: &str,
    found: &mut Vec<Property>,
) -> Result<(), crate::Error> {
    if list.is_empty() {
        return Ok(());
    }
    let bits = bits(list).ok_or(crate::Error::Invalid { what, value: list.to_owned() })?;
    let bytes = bits.into_iter().map(Value::Byte).collect();
    found.push(Property::new(name, Value::Array("y".to_owned(), bytes)).since(ALLOWED));
    Ok(())
}

/// Reads `0-3,7` (cpuset(7), "List Format"): bit `n` is bit `n % 8` of byte `n / 8`.
fn bits(list: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > MAX_BIT {
            return None;
        }
        bytes.resize(bytes.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|bit| bytes[bit / 8] |= 1 << (bit % 8));
    }
    (!bytes.is_empty()).then_some(bytes)
}

fn block_io(limits: &BlockIo, is_unified: bool, found: &mut Vec<Property>) {
    let prefix = if is_unified { "IO" } else { "BlockIO" };
    if let Some(weight) = limits.weight.filter(|weight| *weight != 0) {
        // v1's 10…1000 are 1…10000 on v2.
        let weight = u64::from(weight);
        let weight = if is_unified { 1 + weight.saturating_sub(10) * 9_999 / 990 } else { weight };
        found.push(Property::new(format!("{prefix}Weight"), Value::U64(weight)));
    }
    let mut add = |name: &str, devices: &[BlockIoThrottle]| {
        let device = |BlockIoThrottle { major, minor, rate }: &BlockIoThrottle| {
            let node = Value::Text(format!("/dev/block/{major}:{minor}"));
            Value::Struct(vec![node, Value::U64(*rate)])
        };
        if !devices.is_empty() {
            let list = devices.iter().map(device).collect();
            found.push(Property::new(name, Value::Array("(st)".to_owned(), list)));
        }
    };
    let suffix = if is_unified { "Max" } else { "" };
    add(&format!("{prefix}ReadBandwidth{suffix}"), &limits.throttle_read_bps_device);
    add(&format!("{prefix}WriteBandwidth{suffix}"), &limits.throttle_write_bps_device);
    if is_unified {
        add("IOReadIOPSMax", &limits.throttle_read_iops_device);
        add("IOWriteIOPSMax", &limits.throttle_write_iops_device);
    }
}

/// Files of cgroup v2 that were named themselves, where there is a property for them.
fn unified(file: &str, value: &str, found: &mut Vec<Property>) -> Result<(), crate::Error> {
    let number = |value: &str| match value {
        "max" => Ok(INFINITY),
        number => number.parse().map_err(|_| crate::Error::Invalid {
            what: "value of a cgroup file",
            value: format!("{file}={value}"),
        }),
    };
    let name = match file {
        "cpu.max" => {
            let (quota, period) = value.split_once(' ').unwrap_or((value, ""));
            let period = if period.is_empty() { DEFAULT_PERIOD } else { number(period.trim())? };
            add_quota(Some(number(quota)?).filter(|quota| *quota != INFINITY), period, found);
            let value = Value::U64(period);
            found.push(Property::new("CPUQuotaPeriodUSec", value).since(QUOTA_PERIOD));
            return Ok(());
        }
        "cpuset.cpus" => return set("AllowedCPUs", "cpus", value, found),
        "cpuset.mems" => return set("AllowedMemoryNodes", "mems", value, found),
        "cpu.weight" => "CPUWeight",
        "memory.min" => "MemoryMin",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        _ => return Ok(()),
    };
    found.push(Property::new(name, Value::U64(number(value)?)));
    Ok(())
}

/// Which devices may be used, as systemd says it. On v1 it writes what it believes to the cgroup's
/// files whenever it is told to read its configuration again, and it believes that everything is
/// allowed; on v2 it knows of programs of its own only.
///
/// systemd knows rules that allow, no exceptions from them: those are in the files alone.
pub(super) fn devices(rules: &[DeviceRule], groups: &str) -> Result<Vec<Property>, crate::Error> {
    let (everything, rules) = effective(rules)?;
    let allowed = |rule: &Rule| Some(device(rule, groups)?).filter(|_| rule.allow);
    let list = if everything { Vec::new() } else { rules.iter().filter_map(allowed).collect() };
    let policy = if everything { "auto" } else { "strict" };
    Ok(vec![
        Property::new("DevicePolicy", Value::text(policy)),
        Property::new("DeviceAllow", Value::Array("(ss)".to_owned(), list)),
    ])
}

/// A rule as `DeviceAllow` has it: a device by its numbers, or a group of `/proc/devices` for all
/// minor numbers.
fn device(rule: &Rule, groups: &str) -> Option<Value> {
    let (kind, heading) = match rule.kind {
        Kind::Character => ("char", "Character devices:"),
        Kind::Block => ("block", "Block devices:"),
        Kind::All => return None,
    };
    let node = match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (None, None) => format!("{kind}-*"),
        (None, Some(_)) => return None,
        (Some(major), None) => {
            let mut lines = groups.lines().skip_while(|line| *line != heading).skip(1);
            let group = lines.by_ref().take_while(|line| !line.is_empty()).find_map(|line| {
                let (number, name) = line.trim().split_once(' ')?;
                (number.parse() == Ok(major)).then(|| name.trim().to_owned())
            });
            format!("{kind}-{}", group?)
        }
    };
    let access = rule.access;
    let letters = [(access.read, 'r'), (access.write, 'w'), (access.mknod, 'm')];
    let access: String =
        letters.into_iter().filter(|(is_allowed, _)| *is_allowed).map(|(_, c)| c).collect();
    Some(Value::Struct(vec![Value::Text(node), Value::Text(access)]))
}

#[cfg(test)]
mod tests;
