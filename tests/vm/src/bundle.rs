//! A bundle for the machine's runtime: busybox that sleeps, under limits.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const APPLETS: [&str; 7] = ["sh", "cat", "sleep", "echo", "dd", "true", "test"];

/// Writes a bundle to a folder; `cgroups_path` is its cgroup's.
///
/// # Panics
/// When a file cannot be written.
pub fn write(folder: &Path, cgroups_path: &str) {
    let root = folder.join("rootfs");
    for name in ["bin", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(name)).expect("create folder");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("copy busybox");
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("link busybox");
    }
    fs::write(folder.join("config.json"), config(cgroups_path).to_string()).expect("write config");
}

/// Changes a bundle that was written to one for the ordinary user with the id 1000: with a user
/// namespace, and without what is not delegated to users.
///
/// # Panics
/// When the configuration cannot be read or written.
pub fn make_rootless(folder: &Path) {
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).expect("read config");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let linux = &mut config["linux"];
    linux["namespaces"].as_array_mut().expect("namespaces").push(json!({"type": "user"}));
    for maps in ["uidMappings", "gidMappings"] {
        linux[maps] = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    }
    linux["resources"]["cpu"] = json!({"quota": 50_000, "period": 100_000, "shares": 512});
    linux["devices"] = json!([]);
    fs::write(&path, config.to_string()).expect("write config");
}

fn config(cgroups_path: &str) -> Value {
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
        "annotations": {
            "org.systemd.property.TimeoutStopSec": "17",
            "org.systemd.property.CollectMode": "'inactive-or-failed'",
        },
        "linux": {
            "namespaces": namespaces.map(|name| json!({"type": name})),
            "cgroupsPath": cgroups_path,
            // The device exists in the container and the cgroup forbids it.
            "devices": [{"path": "/dev/forbidden", "type": "c", "major": 1, "minor": 11, "fileMode": 438}],
            "resources": {
                "memory": {"limit": 33_554_432},
                "cpu": {"quota": 50_000, "period": 100_000, "shares": 512, "cpus": "0"},
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
