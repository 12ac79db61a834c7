//! The runtime on a pure cgroup v2.

#![forbid(unsafe_code)]

use serde_json::json;
use std::fs;

#[test]
fn a_container_is_limited_frozen_executed_in_and_deleted_on_cgroup_v2() {
    let bundle = tempfile::tempdir().unwrap();
    let root = bundle.path().join("rootfs");
    for folder in ["bin", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let applets = ["sh", "cat", "sleep", "echo", "dd", "true"];
    for applet in applets {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(bundle.path().join("config.json"), config().to_string()).unwrap();
    let printed = tests_vm::run(
        bundle.path(),
        r#"
        set -eu
        runtime() { gantry-runtime --root /run/runtime "$@"; }
        group=/sys/fs/cgroup/test/box
        runtime create --bundle /bundle box </dev/null >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }
        runtime start box
        echo "memory $(cat $group/memory.max) cpu $(cat $group/cpu.max) pids $(cat $group/pids.max)"
        runtime exec box sh -c 'cat /proc/self/cgroup; dd if=/dev/zero of=/dev/null count=1 2>/dev/null && echo zero is allowed'
        runtime exec box sh -c 'cat /dev/forbidden 2>/dev/null || echo forbidden is denied'
        runtime pause box
        echo "frozen $(cat $group/cgroup.freeze)"
        runtime resume box
        echo "frozen $(cat $group/cgroup.freeze)"
        runtime kill box KILL
        for i in 1 2 3 4 5 6 7 8 9 10; do runtime state box | grep -q stopped && break; sleep 0.2; done
        runtime delete box
        [ ! -e $group ] && echo "group is gone"
        "#,
    );
    for line in [
        "memory 33554432 cpu 50000 100000 pids 20",
        "0::/",
        "zero is allowed",
        "forbidden is denied",
        "frozen 1",
        "frozen 0",
        "group is gone",
    ] {
        assert!(printed.contains(line), "{line:?} is missing in:\n{printed}");
    }
}

fn config() -> serde_json::Value {
    let namespaces = ["pid", "ipc", "uts", "mount", "cgroup", "network"];
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "cwd": "/",
            "args": ["sleep", "1000"],
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
        ],
        "linux": {
            "namespaces": namespaces.map(|name| json!({"type": name})),
            "cgroupsPath": "/test/box",
            // The device exists in the container and the cgroup forbids it.
            "devices": [{"path": "/dev/forbidden", "type": "c", "major": 1, "minor": 11, "fileMode": 438}],
            "resources": {
                "memory": {"limit": 33_554_432},
                "cpu": {"quota": 50_000, "period": 100_000},
                "pids": {"limit": 20},
                "devices": [
                    {"allow": false, "access": "rwm"},
                    {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                    {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
                ],
            },
        },
    })
}
