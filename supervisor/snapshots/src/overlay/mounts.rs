//! The mounts that make a snapshot visible, as containerd's overlay snapshotter answers them.

use contracts_supervisor_api::services::snapshots::Kind;
use contracts_supervisor_api::types::Mount;
use std::path::{Path, PathBuf};
use supervisor_metadata::{EPHEMERAL, SnapshotRecord};

/// The mounts of a snapshot with its own `directory` over the layers of its parents, nearest
/// first.
pub(super) fn of(record: &SnapshotRecord, directory: &Path, layers: &[PathBuf]) -> Vec<Mount> {
    let layer = directory.join("fs");
    let active = record.kind() == Kind::Active;
    match layers {
        [] => vec![bind(&layer, if active { "rw" } else { "ro" })],
        [only] if !active => vec![bind(only, "ro")],
        _ => {
            let mut options = Vec::new();
            if active {
                options.push(format!("workdir={}", directory.join("work").display()));
                options.push(format!("upperdir={}", layer.display()));
            }
            let lower: Vec<_> = layers.iter().map(|path| path.display().to_string()).collect();
            options.push(format!("lowerdir={}", lower.join(":")));
            options.push("index=off".to_owned());
            if active && is_ephemeral(record) {
                options.push("volatile".to_owned());
            }
            vec![Mount {
                r#type: "overlay".to_owned(),
                source: "overlay".to_owned(),
                target: String::new(),
                options,
            }]
        }
    }
}

/// A volatile overlay that was mounted once refuses to be mounted again while it bears the mark
/// of possibly lost writes (kernel, overlayfs.rst, "Volatile mount"). The machine has been up all
/// the time, since an ephemeral record does not outlive it: nothing was lost.
pub(super) fn forget_volatile(record: &SnapshotRecord, directory: &Path) {
    if is_ephemeral(record) {
        let incompatible = directory.join("work/work/incompat");
        let _ = std::fs::remove_file(incompatible.join("volatile/dirty"));
        let _ = std::fs::remove_dir(incompatible.join("volatile"));
        let _ = std::fs::remove_dir(incompatible);
    }
}

fn is_ephemeral(record: &SnapshotRecord) -> bool {
    record.labels.get(EPHEMERAL).is_some_and(|value| value == "true")
}

fn bind(source: &Path, access: &str) -> Mount {
    Mount {
        r#type: "bind".to_owned(),
        source: source.display().to_string(),
        target: String::new(),
        options: vec![access.to_owned(), "rbind".to_owned()],
    }
}
