//! `update`.

use super::document;
use crate::Global;
use crate::arguments::{Flags, Parsed};
use crate::failure::Failure;
use base_oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources};

/// `update`.
pub(crate) fn update(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let id = parsed.id()?;
    let resources = match parsed.flags.path("resources") {
        Some(path) => document::read::<Resources>(&path)?,
        None => from_flags(&parsed.flags)?,
    };
    runtime_container::update(&global.root, id, &resources)?;
    let schemata = ["l3-cache-schema", "mem-bw-schema"];
    let lines: Vec<&str> = schemata.iter().filter_map(|name| parsed.flags.value(name)).collect();
    if !lines.is_empty() {
        runtime_container::update_schemata(&global.root, id, &lines)?;
    }
    Ok(0)
}

fn from_flags(flags: &Flags) -> Result<Resources, Failure> {
    let list = |name| flags.value(name).unwrap_or_default().to_owned();
    let given = |name| flags.value(name).filter(|text| !text.is_empty());
    let bytes = |name| given(name).map(|text| parse_bytes(name, text)).transpose();
    Ok(Resources {
        memory: Some(Memory {
            limit: bytes("memory")?,
            reservation: bytes("memory-reservation")?,
            swap: bytes("memory-swap")?,
            kernel_tcp: bytes("kernel-memory-tcp")?,
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: flags.number("cpu-share")?,
            quota: flags.number("cpu-quota")?,
            burst: flags.number("cpu-burst")?,
            period: flags.number("cpu-period")?,
            realtime_runtime: flags.number("cpu-rt-runtime")?,
            realtime_period: flags.number("cpu-rt-period")?,
            cpus: list("cpuset-cpus"),
            mems: list("cpuset-mems"),
            idle: flags.number("cpu-idle")?,
        }),
        pids: Some(Pids { limit: flags.number("pids-limit")? }),
        block_io: Some(BlockIo { weight: flags.number("blkio-weight")?, ..BlockIo::default() }),
        ..Resources::default()
    })
}

/// Bytes with an optional unit of 1024s, of which there may be parts; -1 is unlimited.
fn parse_bytes(name: &str, text: &str) -> Result<i64, Failure> {
    let wrong = || Failure::Usage(format!("invalid value {text:?} for --{name}"));
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, shift) = match lower.chars().last() {
        Some('k') => (&lower[..lower.len() - 1], 10),
        Some('m') => (&lower[..lower.len() - 1], 20),
        Some('g') => (&lower[..lower.len() - 1], 30),
        Some('t') => (&lower[..lower.len() - 1], 40),
        _ => (lower, 0),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let unit = 1_i64 << shift;
    let whole = whole.parse::<i64>().ok().and_then(|whole| whole.checked_mul(unit));
    let whole = whole.ok_or_else(wrong)?;
    if part.is_empty() {
        return Ok(whole);
    }
    if whole < 0 || part.len() > 9 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let digits: i128 = part.parse().map_err(|_| wrong())?;
    let part = digits * i128::from(unit) / 10_i128.pow(u32::try_from(part.len()).unwrap_or(0));
    i64::try_from(part).ok().and_then(|part| whole.checked_add(part)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_minus_one_is_kept() {
        assert_eq!(parse_bytes("memory", "32M").unwrap(), 32 << 20);
        assert_eq!(parse_bytes("memory", "1gib").unwrap(), 1 << 30);
        assert_eq!(parse_bytes("memory", "-1").unwrap(), -1);
        assert_eq!(parse_bytes("memory", "1.5g").unwrap(), 3 << 29);
        for bad in ["", "x", "9999999999t", "1.x", "-1.5m", ".", "1..2"] {
            assert!(parse_bytes("memory", bad).is_err(), "{bad}");
        }
    }
}
