//! From limits to properties.

use super::*;
use crate::Hierarchy;
use base_oci::runtime::{DeviceKind, Pids};

fn record(unified: bool) -> Record {
    Record { unified, ..Record::default() }
}

fn found(resources: &Resources, unified: bool) -> Vec<(String, Value)> {
    let properties = properties(resources, &record(unified)).unwrap();
    properties.into_iter().map(|property| (property.name, property.value)).collect()
}

fn expect(found: &[(String, Value)], expected: &[(&str, u64)]) {
    let numbers: Vec<_> = found
        .iter()
        .filter_map(|(name, value)| match value {
            Value::U64(number) => Some((name.as_str(), *number)),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, expected);
}

#[test]
fn memory_cpu_and_tasks_have_other_names_on_each_version() {
    let resources = Resources {
        memory: Some(Memory {
            limit: Some(1000),
            swap: Some(1500),
            reservation: Some(500),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(1024),
            quota: Some(12_345),
            period: Some(50_000),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: Some(-1) }),
        ..Resources::default()
    };
    expect(
        &found(&resources, true),
        &[
            ("MemorySwapMax", 500),
            ("MemoryMax", 1000),
            ("MemoryLow", 500),
            ("CPUWeight", 100),
            ("TasksMax", INFINITY),
            ("CPUQuotaPerSecUSec", 250_000),
            ("CPUQuotaPeriodUSec", 50_000),
        ],
    );
    expect(
        &found(&resources, false),
        &[
            ("MemoryLimit", 1000),
            ("CPUShares", 1024),
            ("TasksMax", INFINITY),
            ("CPUQuotaPerSecUSec", 250_000),
            ("CPUQuotaPeriodUSec", 50_000),
        ],
    );
}

#[test]
fn limits_that_are_left_out_stay_and_half_a_quota_is_completed() {
    assert!(found(&Resources::default(), true).is_empty());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cpu.max"), "50000 100000\n").unwrap();
    let hierarchy = Hierarchy {
        name: String::new(),
        controllers: String::new(),
        path: folder.path().to_owned(),
    };
    let record = Record { unified: true, hierarchies: vec![hierarchy], scope: None };
    let with = |cpu| {
        let resources = Resources { cpu: Some(cpu), ..Resources::default() };
        let properties = properties(&resources, &record).unwrap();
        properties.into_iter().map(|p| (p.name, p.value)).collect::<Vec<_>>()
    };
    expect(
        &with(Cpu { period: Some(200_000), ..Cpu::default() }),
        &[("CPUQuotaPerSecUSec", 250_000), ("CPUQuotaPeriodUSec", 200_000)],
    );
    expect(
        &with(Cpu { quota: Some(20_000), ..Cpu::default() }),
        &[("CPUQuotaPerSecUSec", 200_000)],
    );
    expect(&with(Cpu { quota: Some(-1), ..Cpu::default() }), &[("CPUQuotaPerSecUSec", INFINITY)]);
}

#[test]
fn lists_become_bit_fields() {
    assert_eq!(bits("0-3,9").unwrap(), [0x0f, 0x02]);
    assert_eq!(bits("8").unwrap(), [0, 1]);
    for bad in ["x", "3-1", "1-", "9999", "-1", ""] {
        assert_eq!(bits(bad), None, "{bad}");
    }
    let cpu = Cpu { cpus: "0".into(), mems: "1".into(), ..Cpu::default() };
    let resources = Resources { cpu: Some(cpu), ..Resources::default() };
    let bytes = |byte| Value::Array("y".into(), vec![Value::Byte(byte)]);
    let expected = [("AllowedCPUs".into(), bytes(1)), ("AllowedMemoryNodes".into(), bytes(2))];
    assert_eq!(found(&resources, true), expected);
}

#[test]
fn files_that_are_named_themselves_become_properties_where_there_are_some() {
    let files = [
        ("cpu.max", "max 50000"),
        ("memory.high", " 4096 "),
        ("memory.max", "max"),
        ("memory.oom.group", "1"),
        ("pids.max", "7"),
    ];
    let unified = files.map(|(file, value)| (file.to_owned(), value.to_owned())).into();
    let resources = Resources { unified, ..Resources::default() };
    expect(
        &found(&resources, true),
        &[
            ("CPUQuotaPerSecUSec", INFINITY),
            ("CPUQuotaPeriodUSec", 50_000),
            ("MemoryHigh", 4096),
            ("MemoryMax", INFINITY),
            ("TasksMax", 7),
        ],
    );
    let unified = [("memory.max".to_owned(), "much".to_owned())].into();
    let resources = Resources { unified, ..Resources::default() };
    assert!(properties(&resources, &record(true)).is_err());
}

#[test]
fn throttles_name_the_device_by_its_numbers() {
    let throttle = BlockIoThrottle { major: 8, minor: 1, rate: 99 };
    let limits = BlockIo { throttle_read_bps_device: vec![throttle], ..BlockIo::default() };
    let resources = Resources { block_io: Some(limits), ..Resources::default() };
    let device = Value::Struct(vec![Value::text("/dev/block/8:1"), Value::U64(99)]);
    let list = Value::Array("(st)".into(), vec![device]);
    assert_eq!(found(&resources, true), [("IOReadBandwidthMax".into(), list.clone())]);
    assert_eq!(found(&resources, false), [("BlockIOReadBandwidth".into(), list)]);
}

#[test]
fn devices_are_allowed_by_number_or_by_group() {
    let groups = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n136 other\n";
    let rule = |kind, major, minor| DeviceRule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access: "rw".to_owned(),
    };
    let allowed = |rules: &[DeviceRule]| {
        let properties = devices(rules, groups).unwrap();
        let [policy, list] = properties.try_into().unwrap();
        let Value::Array(_, list) = list.value else { panic!("no list") };
        (policy.value, list)
    };
    let entry =
        |node: &str, access: &str| Value::Struct(vec![Value::text(node), Value::text(access)]);
    let (policy, list) = allowed(&[rule(DeviceKind::Block, Some(136), None)]);
    assert_eq!(policy, Value::text("strict"));
    for expected in [
        entry("block-other", "rw"),
        entry("char-pts", "rwm"),
        entry("char-*", "m"),
        entry("/dev/char/1:3", "rwm"),
    ] {
        assert!(list.contains(&expected), "{expected:?}");
    }
    let everything = DeviceRule { allow: true, access: "rwm".into(), ..DeviceRule::default() };
    assert_eq!(allowed(&[everything]), (Value::text("auto"), vec![]));
}
