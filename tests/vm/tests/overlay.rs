//! Overlay mounts on Debian 12's kernel, whose overlayfs takes all lower layers in one option.

#![forbid(unsafe_code)]

use serde_json::json;
use std::fs;

/// More than fsconfig(2)'s 255 bytes hold, by absolute paths also more than mount(2)'s page.
const LAYERS: usize = 250;

#[test]
fn layers_beyond_the_length_of_one_option_are_stacked_on_an_old_kernel() {
    let bundle = tempfile::tempdir().unwrap();
    let root = bundle.path().join("rootfs");
    for folder in ["bin", "proc", "few", "stack", "written"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "ls", "wc", "echo"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let snapshots = bundle.path().join("var/lib/gantry/snapshots");
    let mut lower = Vec::new();
    for number in 1..=LAYERS {
        let layer = snapshots.join(number.to_string()).join("fs");
        fs::create_dir_all(&layer).unwrap();
        fs::write(layer.join(format!("of-{number}")), "").unwrap();
        fs::write(layer.join("which"), number.to_string()).unwrap();
        lower.push(format!("/bundle/var/lib/gantry/snapshots/{number}/fs"));
    }
    for folder in ["fs", "work"] {
        fs::create_dir_all(snapshots.join("900").join(folder)).unwrap();
    }
    let config = config(&lower[..3].join(":"), &lower.join(":"));
    fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
    let printed = tests_vm::Machine::bare().with_programs().with("bundle", bundle.path()).run(
        r#"
        set -eu
        ln -s /payload/bundle /bundle
        echo "kernel $(uname -r)"
        gantry-runtime --root /run/runtime run --bundle /bundle box </dev/null
        cat /bundle/var/lib/gantry/snapshots/900/fs/new
        grep -c overlay /proc/self/mounts || echo "no overlay is left"
        "#,
    );
    for line in [
        "kernel 6.1.",
        "few is 1 of 4",
        "top is 1",
        "251 files",
        "written to 900",
        "no overlay is left",
    ] {
        assert!(printed.contains(line), "{line:?} is missing in:\n{printed}");
    }
}

fn config(few: &str, lower: &str) -> serde_json::Value {
    let upper = "/bundle/var/lib/gantry/snapshots/900";
    let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
    let script = "echo few is $(cat /few/which) of $(ls /few | wc -l); echo top is $(cat /stack/which); echo $(ls /stack | wc -l) files; \
                  echo written to 900 > /written/new";
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "cwd": "/",
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/few", "type": "overlay", "source": "overlay",
                "options": [format!("lowerdir={few}")],
            },
            {
                "destination": "/stack", "type": "overlay", "source": "overlay",
                "options": [format!("lowerdir={lower}"), "ro"],
            },
            {
                "destination": "/written", "type": "overlay", "source": "overlay",
                "options": [
                    format!("workdir={upper}/work"), format!("upperdir={upper}/fs"),
                    format!("lowerdir={lower}"), "index=off",
                ],
            },
        ],
        "linux": {"namespaces": namespaces},
    })
}
