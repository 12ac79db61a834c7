//! A virtual machine with a pure cgroup v2: Debian's cloud kernel and an initramfs of our own under
//! qemu's software emulation. It boots in seconds, so tests build one for each script.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tests_harness::{cache, output_of, programs, wait};

/// What the script's last line is, when it came to its end.
const FINISHED: &str = "gantry-vm: finished with ";

/// Mounts what an init must mount, runs the script, says how it ended, and switches the machine off.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run /tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in /modules/*.ko; do [ -e "$module" ] && insmod "$module"; done
# pivot_root(2) refuses the initramfs: everything runs on a tmpfs.
mkdir -p /root-fs
mount -t tmpfs -o mode=755 root /root-fs
cp -a /bin /script /bundle /root-fs/ 2>/dev/null
mkdir -p /root-fs/proc /root-fs/sys /root-fs/dev /root-fs/run /root-fs/tmp
for part in proc sys dev run tmp; do mount --move "/$part" "/root-fs/$part"; done
cd /root-fs
mount --move . /
exec chroot . /bin/sh -c 'sh /script 2>&1; echo "gantry-vm: finished with $?"; sync; poweroff -f'
"#;

/// Boots a machine that has our runtime and `bundle` (a folder), runs `script` in it, and returns
/// what it printed.
///
/// # Panics
/// When the machine does not come to the script's end within two minutes, or the script fails.
#[must_use]
pub fn run(bundle: &Path, script: &str) -> String {
    let folder = tempfile::Builder::new().prefix("gantry-vm-").tempdir().expect("temporary folder");
    let initramfs = initramfs(folder.path(), bundle, script);
    let serial = folder.path().join("serial");
    let mut machine = Command::new("qemu-system-x86_64")
        .args([
            "-accel",
            "tcg",
            "-m",
            "512",
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-cpu",
            "max",
        ])
        .arg("-kernel")
        .arg(kernel().join("vmlinuz"))
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all"])
        .arg("-serial")
        .arg(format!("file:{}", serial.display()))
        .stdin(Stdio::null())
        .spawn()
        .expect("start qemu-system-x86_64 (apt-get install qemu-system-x86)");
    let read = || {
        fs::read(&serial)
            .map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""))
            .unwrap_or_default()
    };
    wait::until("the machine to switch off", Duration::from_secs(120), || {
        match machine.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => Err(read()),
        }
    });
    let printed = read();
    let (before, status) =
        printed.split_once(FINISHED).unwrap_or_else(|| panic!("no end:\n{printed}"));
    assert!(status.starts_with("0\n"), "the script failed:\n{printed}");
    before.to_owned()
}

/// Packs the files of the machine with cpio.
fn initramfs(folder: &Path, bundle: &Path, script: &str) -> PathBuf {
    let root = folder.join("root");
    for part in ["bin", "proc", "sys", "dev", "modules"] {
        fs::create_dir_all(root.join(part)).expect("create folder");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("copy busybox");
    fs::copy(programs().join("gantry-runtime"), root.join("bin/gantry-runtime"))
        .expect("copy the runtime");
    for module in fs::read_dir(kernel().join("modules")).expect("read modules").flatten() {
        fs::copy(module.path(), root.join("modules").join(module.file_name()))
            .expect("copy module");
    }
    let _ = output_of(Command::new("cp").arg("-a").arg(bundle).arg(root.join("bundle")));
    fs::write(root.join("script"), script).expect("write script");
    fs::write(root.join("init"), INIT).expect("write init");
    let _ = output_of(Command::new("chmod").arg("755").arg(root.join("init")));
    let file = folder.join("initramfs");
    let line = format!("find . | cpio --quiet -o -H newc > {}", file.display());
    let _ = output_of(Command::new("sh").current_dir(&root).args(["-c", &line]));
    file
}

/// Debian's cloud kernel and its overlay module, unpacked from the package once.
fn kernel() -> PathBuf {
    let place = cache().join("kernel");
    if place.join("vmlinuz").exists() {
        return place;
    }
    fs::create_dir_all(cache()).expect("create the cache");
    let work =
        tempfile::Builder::new().prefix("kernel-").tempdir_in(cache()).expect("temporary folder");
    let script = r#"
        set -eu
        package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
        [ -n "$package" ] || { echo "no linux-image-cloud-amd64: apt-get update" >&2; exit 1; }
        apt-get -qq download "$package"
        dpkg -x ./*.deb unpacked
        mkdir -p kept/modules
        cp unpacked/boot/vmlinuz-* kept/vmlinuz
        find unpacked/lib/modules -name overlay.ko -exec cp {} kept/modules/ \;
    "#;
    let _ = output_of(Command::new("sh").current_dir(work.path()).args(["-c", script]));
    if let Err(error) = fs::rename(work.path().join("kept"), &place) {
        assert!(place.join("vmlinuz").exists(), "keep {}: {error}", place.display());
    }
    place
}
