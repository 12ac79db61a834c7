//! Limits as the files of cgroup v1 have them, and what `update` and `events` make of them.

use crate::bundle::Bundle;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

/// The container's folder in the hierarchy of a controller of cgroup v1, where there is one.
fn folder(bundle: &Bundle, controller: &str) -> Option<PathBuf> {
    let found = Path::new("/sys/fs/cgroup").join(controller).join("gantry-runtime-tests");
    Some(found.join(&bundle.id)).filter(|folder| folder.is_dir())
}

/// Whether a hierarchy of cgroup v1 is mounted, and this file of a cgroup is there.
fn has(controller: &str, file: &str) -> bool {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return false };
    let place = format!(" /sys/fs/cgroup/{controller} ");
    mounts.lines().any(|line| line.contains(&place) && line.contains(" - cgroup ")) && {
        // The root has not all of them.
        let probe = tempfile::Builder::new()
            .prefix("gantry-runtime-tests-")
            .tempdir_in(Path::new("/sys/fs/cgroup").join(controller));
        let Ok(probe) = probe else { return false };
        let probe = probe.keep();
        let exists = probe.join(file).exists();
        std::fs::remove_dir(probe).unwrap();
        exists
    }
}

fn expect(bundle: &Bundle, expected: &[(&str, &str, &str)]) {
    for (controller, file, value) in expected.iter().filter(|(c, file, _)| has(c, file)) {
        let path = folder(bundle, controller).unwrap().join(file);
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(found.lines().any(|line| line == *value), "{file}: {found:?} instead of {value}");
    }
}

/// A block device of this machine's (`254:0`), and whether its scheduler has weights.
fn disk() -> Option<(u64, u64, bool)> {
    let disks = std::fs::read_dir("/sys/block").ok()?.flatten().map(|disk| disk.path());
    let has_weights = |disk: &PathBuf| {
        let scheduler = std::fs::read_to_string(disk.join("queue/scheduler")).unwrap_or_default();
        scheduler.contains("[bfq]") || scheduler.contains("[cfq]")
    };
    let disk = disks.max_by_key(|disk| (has_weights(disk), disk.join("device").exists()))?;
    let text = std::fs::read_to_string(disk.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?, has_weights(&disk)))
}

#[test]
fn every_limit_of_the_configuration_is_in_its_file() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    let resources = &mut bundle.config["linux"]["resources"];
    let mut expected = Vec::new();
    if has("memory", "memory.soft_limit_in_bytes") {
        resources["memory"] = json!({
            "limit": 64 << 20, "reservation": 32 << 20, "swappiness": 30, "disableOOMKiller": true,
            "kernel": 16 << 20, "kernelTCP": 16 << 20, "useHierarchy": true,
        });
        expected.extend([
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("memory", "memory.swappiness", "30"),
            ("memory", "memory.oom_control", "oom_kill_disable 1"),
            // As under runc, these are no more.
            ("memory", "memory.kmem.tcp.limit_in_bytes", "9223372036854771712"),
        ]);
        if has("memory", "memory.memsw.limit_in_bytes") {
            resources["memory"]["swap"] = json!(96 << 20);
            expected.push(("memory", "memory.memsw.limit_in_bytes", "100663296"));
        }
    }
    if has("cpu", "cpu.cfs_quota_us") {
        resources["cpu"] = json!({"shares": 512, "quota": 40_000, "period": 50_000});
        expected.extend([
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "40000"),
            ("cpu", "cpu.cfs_period_us", "50000"),
            ("cpu", "cpu.cfs_burst_us", "20000"),
        ]);
        // Where there is no such file it is left out.
        resources["cpu"]["burst"] = json!(20_000);
    }
    if has("cpuset", "cpuset.cpus") {
        resources["cpu"]["cpus"] = json!("0");
        resources["cpu"]["mems"] = json!("0");
        expected.extend([("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0")]);
    }
    if has("pids", "pids.max") {
        resources["pids"] = json!({"limit": 17});
        expected.push(("pids", "pids.max", "17"));
    }
    if has("hugetlb", "hugetlb.2MB.limit_in_bytes") {
        resources["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
        expected.extend([
            ("hugetlb", "hugetlb.2MB.limit_in_bytes", "4194304"),
            ("hugetlb", "hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
        ]);
    }
    if has("net_cls", "net_cls.classid") {
        resources["network"]["classID"] = json!(0x10001);
        expected.push(("net_cls", "net_cls.classid", "65537"));
    }
    if has("net_prio", "net_prio.ifpriomap") {
        resources["network"]["priorities"] = json!([{"name": "lo", "priority": 5}]);
        expected.push(("net_prio", "net_prio.ifpriomap", "lo 5"));
    }
    bundle.succeed(&["create", "ID"]);
    expect(&bundle, &expected);
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn block_devices_have_weights_and_ceilings() {
    const THROTTLE: &str = "blkio.throttle.read_bps_device";
    let found = disk().filter(|_| has("blkio", THROTTLE));
    let Some((major, minor, has_weights)) = found else { return };
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    let ceiling = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let mut limits = json!({
        "throttleReadBpsDevice": ceiling(1 << 20),
        "throttleWriteBpsDevice": ceiling(2 << 20),
        "throttleReadIOPSDevice": ceiling(300),
        "throttleWriteIOPSDevice": ceiling(400),
    });
    let line = |value: &str| format!("{major}:{minor} {value}");
    let (read_bytes, write_bytes) = (line("1048576"), line("2097152"));
    let (reads, writes, weight) = (line("300"), line("400"), line("70"));
    let mut expected = vec![
        ("blkio", THROTTLE, read_bytes.as_str()),
        ("blkio", "blkio.throttle.write_bps_device", &write_bytes),
        ("blkio", "blkio.throttle.read_iops_device", &reads),
        ("blkio", "blkio.throttle.write_iops_device", &writes),
    ];
    for prefix in ["blkio.", "blkio.bfq."] {
        let [plain, by_device] = ["weight", "weight_device"].map(|name| format!("{prefix}{name}"));
        if has("blkio", &plain) {
            limits["weight"] = json!(60);
            expected.push(("blkio", plain.leak(), "60"));
        }
        if has_weights && has("blkio", &by_device) {
            limits["weightDevice"] = json!([{"major": major, "minor": minor, "weight": 70}]);
            expected.push(("blkio", by_device.leak(), &weight));
        }
    }
    bundle.config["linux"]["resources"]["blockIO"] = limits;
    bundle.succeed(&["create", "ID"]);
    expect(&bundle, &expected);
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn an_update_changes_every_limit_that_has_a_flag() {
    if !(has("memory", "memory.limit_in_bytes") && has("cpu", "cpu.cfs_burst_us")) {
        return;
    }
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let mut flags = vec![
        ("memory", "64M"),
        ("memory-reservation", "32M"),
        ("kernel-memory", "16M"),
        ("kernel-memory-tcp", "16M"),
        ("cpu-share", "512"),
        ("cpu-period", "50000"),
        ("cpu-quota", "40000"),
        ("cpu-burst", "30000"),
        ("cpu-idle", "0"),
        ("cpuset-cpus", "0"),
        ("cpuset-mems", "0"),
        ("pids-limit", "17"),
    ];
    if has("memory", "memory.memsw.limit_in_bytes") {
        flags.push(("memory-swap", "96M"));
    }
    if has("blkio", "blkio.weight") || has("blkio", "blkio.bfq.weight") {
        flags.push(("blkio-weight", "60"));
    }
    let update = |flags: &[(&str, &str)]| {
        let words = flags.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).into()]);
        let words: Vec<String> = ["update".into()].into_iter().chain(words).collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("ID");
        let ended = bundle.runtime(&words);
        assert_eq!(ended.code, 0, "{flags:?}: {ended:?}");
        ended.err
    };
    let said = update(&flags);
    assert!(said.contains("Kernel memory settings are ignored"), "{said}");
    expect(
        &bundle,
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("memory", "memory.memsw.limit_in_bytes", "100663296"),
            ("memory", "memory.kmem.tcp.limit_in_bytes", "9223372036854771712"),
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_period_us", "50000"),
            ("cpu", "cpu.cfs_quota_us", "40000"),
            ("cpu", "cpu.cfs_burst_us", "30000"),
            ("cpu", "cpu.idle", "0"),
            ("cpuset", "cpuset.cpus", "0"),
            ("cpuset", "cpuset.mems", "0"),
            ("pids", "pids.max", "17"),
            ("blkio", "blkio.weight", "60"),
            ("blkio", "blkio.bfq.weight", "60"),
        ],
    );
    // No burst may be longer than the quota, whichever of the two is the one that is in force.
    update(&[("cpu-quota", "10000"), ("cpu-burst", "5000")]);
    update(&[("cpu-quota", "40000"), ("cpu-burst", "30000")]);
    expect(&bundle, &[("cpu", "cpu.cfs_quota_us", "40000"), ("cpu", "cpu.cfs_burst_us", "30000")]);
    // Nor may the realtime period be shorter than the runtime, of which a cgroup has but a share.
    let parent = folder(&bundle, "cpu").unwrap().with_file_name("cpu.rt_runtime_us");
    if std::fs::write(parent, "200000").is_ok() {
        update(&[("cpu-rt-period", "1000000"), ("cpu-rt-runtime", "10000")]);
        update(&[("cpu-rt-period", "5000"), ("cpu-rt-runtime", "50")]);
        update(&[("cpu-rt-period", "1000000"), ("cpu-rt-runtime", "10000")]);
        expect(
            &bundle,
            &[("cpu", "cpu.rt_period_us", "1000000"), ("cpu", "cpu.rt_runtime_us", "10000")],
        );
    }
    // No file is as none: flags count.
    update(&[("resources", ""), ("pids-limit", "18")]);
    expect(&bundle, &[("pids", "pids.max", "18")]);
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn settings_of_kernel_memory_are_told_to_be_without_effect() {
    let mut bundle = Bundle::script("true");
    bundle.config["linux"]["resources"]["memory"] = json!({"kernel": 16 << 20});
    let ended = bundle.runtime(&["run", "ID"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("Kernel memory settings are ignored"), "{ended:?}");
    bundle.assert_nothing_is_left();
}

/// A running `events`, with the lines that it prints.
struct Events {
    command: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Events {
    fn of(bundle: &Bundle, interval: &str) -> Self {
        let mut command = bundle
            .command(&["events", "--interval", interval, &bundle.id])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(command.stdout.take().unwrap()).lines();
        Self { command, lines }
    }

    fn next(&mut self) -> Option<Value> {
        self.lines.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

#[test]
fn figures_have_the_layout_that_runc_prints() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let event: Value = serde_json::from_str(&bundle.succeed(&["events", "--stats", "ID"])).unwrap();
    let data = &event["data"];
    let mut keys: Vec<&String> = data.as_object().unwrap().keys().collect();
    keys.sort();
    let expected =
        ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"];
    assert_eq!(keys, expected);
    assert_eq!((&data["intel_rdt"], &data["network_interfaces"]), (&json!({}), &Value::Null));
    if has("cpuacct", "cpuacct.usage_all") {
        let usage = &data["cpu"]["usage"];
        let count = |key: &str| usage[key].as_array().unwrap().len();
        assert!(count("percpu") > 0);
        assert_eq!(
            (count("percpu_user"), count("percpu_kernel")),
            (count("percpu"), count("percpu"))
        );
    }
    if has("cpuset", "cpuset.cpus") {
        assert_eq!(data["cpuset"]["mems"][0], 0);
        assert_eq!(data["cpuset"]["sched_relax_domain_level"], -1);
    }
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn events_go_on_until_the_container_ends() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let mut events = Events::of(&bundle, "10ms");
    for _ in 0..3 {
        let event = events.next().unwrap();
        assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(bundle.id)));
        assert_eq!(event["data"]["pids"]["current"], 1);
    }
    bundle.succeed(&["kill", "ID", "KILL"]);
    while let Some(event) = events.next() {
        assert_eq!(event["type"], "stats");
    }
    assert!(events.command.wait().unwrap().success());
    bundle.wait_for_status("stopped");
    let ended = bundle.runtime(&["events", "--stats", "ID"]);
    let said = format!("container with id {} is not running", bundle.id);
    assert!(ended.code == 1 && ended.err.contains(&said), "{ended:?}");
    bundle.succeed(&["delete", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn want_of_memory_is_an_event_also_when_init_dies_of_it() {
    // Init waits for the watch, then for more memory than it may have; at another time a child does.
    let wait = "until test -e /go; do sleep 0.01; done;";
    for (deed, survives) in [("exec tail /dev/zero", false), ("tail /dev/zero; sleep 1000", true)] {
        let mut bundle = Bundle::script(&format!("{wait} {deed}"));
        std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin/tail")).unwrap();
        let memory = &mut bundle.config["linux"]["resources"]["memory"];
        *memory = json!({"limit": 16 << 20});
        if has("memory", "memory.memsw.limit_in_bytes") {
            memory["swap"] = json!(16 << 20);
        }
        bundle.succeed(&["run", "--detach", "ID"]);
        let mut events = Events::of(&bundle, "2s");
        // What it prints shows that it watches; the next time is far off.
        assert_eq!(events.next().unwrap()["type"], "stats");
        std::fs::write(bundle.rootfs().join("go"), "").unwrap();
        let mut later = std::iter::from_fn(|| events.next()).filter(|e| e["type"] != "stats");
        assert_eq!(later.next(), Some(json!({"type": "oom", "id": bundle.id})));
        if survives {
            assert_eq!(bundle.status(), "running");
            bundle.succeed(&["kill", "ID", "KILL"]);
        }
        assert_eq!(later.next(), None);
        assert!(events.command.wait().unwrap().success());
        bundle.succeed(&["delete", "--force", "ID"]);
        bundle.assert_nothing_is_left();
    }
}
