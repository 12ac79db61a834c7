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
    if let Some(warning) = runtime_container::memory_warning(&resources) {
        global.log.warning(warning);
    }
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
            kernel: bytes("kernel-memory")?,
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
    use crate::arguments;

    fn of(args: &[&str]) -> Result<Resources, Failure> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let command = arguments::command("update").unwrap();
        from_flags(&arguments::parse(command.flags, &args, command.stops_at_operand)?.flags)
    }

    #[test]
    fn each_flag_is_a_limit_and_one_that_is_left_out_is_none() {
        let flags = [
            "--memory=1m",
            "--memory-swap=-1",
            "--memory-reservation=1k",
            "--kernel-memory=2k",
            "--kernel-memory-tcp=3k",
            "--cpu-share=512",
            "--cpu-quota=-1",
            "--cpu-burst=5",
            "--cpu-period=6",
            "--cpu-rt-runtime=7",
            "--cpu-rt-period=8",
            "--cpu-idle=1",
            "--cpuset-cpus=0-3",
            "--cpuset-mems=1",
            "--pids-limit=9",
            "--blkio-weight=100",
        ];
        let expected = Resources {
            memory: Some(Memory {
                limit: Some(1 << 20),
                swap: Some(-1),
                reservation: Some(1 << 10),
                kernel: Some(2 << 10),
                kernel_tcp: Some(3 << 10),
                ..Memory::default()
            }),
            cpu: Some(Cpu {
                shares: Some(512),
                quota: Some(-1),
                burst: Some(5),
                period: Some(6),
                realtime_runtime: Some(7),
                realtime_period: Some(8),
                cpus: "0-3".to_owned(),
                mems: "1".to_owned(),
                idle: Some(1),
            }),
            pids: Some(Pids { limit: Some(9) }),
            block_io: Some(BlockIo { weight: Some(100), ..BlockIo::default() }),
            ..Resources::default()
        };
        assert_eq!(of(&flags).unwrap(), expected);
        let none = Resources {
            memory: Some(Memory::default()),
            cpu: Some(Cpu::default()),
            pids: Some(Pids::default()),
            block_io: Some(BlockIo::default()),
            ..Resources::default()
        };
        assert_eq!(of(&[]).unwrap(), none);
        for bad in ["--memory=x", "--cpu-quota=x", "--cpu-share=-1", "--blkio-weight=70000"] {
            assert!(of(&[bad]).is_err(), "{bad}");
        }
    }

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
