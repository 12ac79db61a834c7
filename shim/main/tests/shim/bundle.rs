//! A bundle with a busybox root file system.

use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What bundles may choose.
pub(crate) struct Bundle {
    directory: TempDir,
    pub(crate) id: String,
}

impl Bundle {
    /// A bundle whose init runs this shell script.
    pub(crate) fn new(script: &str) -> Self {
        Self::with(script, |_| ())
    }

    /// The same, with a changed configuration.
    pub(crate) fn with(script: &str, change: impl FnOnce(&mut Value)) -> Self {
        let directory = tempfile::Builder::new().prefix("gantry-shim-").tempdir().unwrap();
        let name = directory.path().file_name().unwrap().to_str().unwrap();
        let id = name.to_lowercase().replace('.', "-");
        make_root(&directory.path().join("rootfs"));
        let mut config = config(&id, script);
        change(&mut config);
        std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        Self { directory, id }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }
}

fn make_root(root: &Path) {
    for directory in ["bin", "proc", "dev", "tmp", "sys"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in
        ["sh", "cat", "echo", "sleep", "true", "stty", "head", "yes", "seq", "dd", "kill", "tr"]
    {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}

fn config(id: &str, script: &str) -> Value {
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.2",
        "process": process(script, false),
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666"]),
        ],
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "namespaces": namespaces,
        },
    })
}

/// An OCI process that runs a shell script.
pub(crate) fn process(script: &str, terminal: bool) -> Value {
    json!({
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/sh", "-c", script],
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"],
        },
    })
}
