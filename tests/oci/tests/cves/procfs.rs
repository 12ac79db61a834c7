//! `/proc`: what the runtime hides and protects there, and what it writes there itself.

use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use tests_harness::output_of;
use tests_oci::bundle::Bundle;
use tests_oci::race::exchanging;

/// How often a race is run.
const RUNS: usize = 40;

/// Tells whatever a container must not be able to do with a procfs, wherever that is. The parameter
/// is a harmless one, written with the value that it has.
const LOOK: &str = "
for proc in /proc /decoy; do
    (echo 0 >$proc/sys/kernel/printk_delay) 2>/dev/null && echo writable
    [ -e $proc/keys ] && stat -c 'keys %t:%T' $proc/keys
done
true";

/// CVE-2019-16884: an image's `VOLUME /proc` in the place of a procfs.
#[test]
fn something_else_than_procfs_is_not_mounted_on_proc() {
    for (has_procfs, destination) in [(true, "/proc"), (false, "/proc"), (false, "/trap/../link")] {
        let mut bundle = Bundle::script("true");
        let volume = bundle.path().join("volume");
        fs::create_dir_all(volume.join("self/attr")).unwrap();
        fs::write(volume.join("self/attr/exec"), "forged").unwrap();
        bundle.link("link", Path::new("/proc"));
        if !has_procfs {
            bundle.config["mounts"].as_array_mut().unwrap().remove(0);
        }
        bundle.add_mount(destination, "bind", &volume, &["rbind"]);
        let ended = bundle.run();
        assert!(ended.err.contains("it is not of type proc"), "{destination}: {ended:?}");
        assert_eq!(fs::read(volume.join("self/attr/exec")).unwrap(), b"forged");
    }
}

/// CVE-2019-19921, CVE-2023-27561: a second container that has the same root exchanges `/proc`, so
/// that what is hidden and protected is not what is mounted.
#[test]
fn a_proc_that_is_exchanged_while_it_is_mounted_is_protected_all_the_same() {
    let bundle = Bundle::script(LOOK);
    let root = bundle.rootfs();
    fs::create_dir(root.join("decoy")).unwrap();
    exchanging(&root.join("proc"), &root.join("decoy"), || run_and_look(&bundle));
    bundle.link("decoy", Path::new("/tmp"));
    exchanging(&root.join("proc"), &root.join("decoy"), || run_and_look(&bundle));
}

/// CVE-2025-31133, CVE-2025-62161: what hides a file is the null device, and not what an image has
/// in its place.
#[test]
fn a_null_device_that_is_exchanged_for_a_link_hides_nothing_with_the_link_s_target() {
    let mut bundle = Bundle::script(LOOK);
    bundle.leave_dev_to_image();
    let dev = bundle.rootfs().join("dev");
    let _ = output_of(Command::new("mknod").arg(dev.join("null")).args(["c", "1", "3"]));
    bundle.link("dev/evil", Path::new("/proc/sys/kernel/printk_delay"));
    exchanging(&dev.join("null"), &dev.join("evil"), || run_and_look(&bundle));
}

/// CVE-2025-52565, CVE-2015-3627: the terminal is bound to `/dev/console`, not to what an image
/// makes of it, and not something else than a terminal.
#[test]
fn a_console_that_is_exchanged_for_a_link_opens_nothing_of_proc() {
    let mut bundle = Bundle::script(LOOK);
    bundle.leave_dev_to_image();
    bundle.add_mount("/dev/pts", "devpts", Path::new("devpts"), &["newinstance", "ptmxmode=0666"]);
    bundle.config["process"]["terminal"] = json!(true);
    let dev = bundle.rootfs().join("dev");
    fs::create_dir(dev.join("pts")).unwrap();
    fs::write(dev.join("console"), "").unwrap();
    for target in ["/proc/sys/kernel/printk_delay", "../proc/sysrq-trigger"] {
        bundle.link("dev/evil", Path::new(target));
        exchanging(&dev.join("console"), &dev.join("evil"), || run_and_look(&bundle));
    }
    // A forged terminal multiplexer.
    fs::create_dir(dev.join("forged")).unwrap();
    std::os::unix::fs::symlink("/proc/sys/kernel/printk_delay", dev.join("forged/ptmx")).unwrap();
    exchanging(&dev.join("pts"), &dev.join("forged"), || run_and_look(&bundle));
}

/// CVE-2025-52881, CVE-2025-62596: what the runtime writes to `/proc` for a container (labels,
/// kernel parameters, scores) goes to the host's procfs, never through the container's own.
#[test]
fn what_the_runtime_writes_to_proc_does_not_reach_a_forged_one() {
    let mut bundle = Bundle::script("true");
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "7"});
    bundle.config["process"]["oomScoreAdj"] = json!(100);
    bundle.config["process"]["apparmorProfile"] = json!("unconfined");
    let forged = [
        "sys/net/ipv4/ip_unprivileged_port_start",
        "self/oom_score_adj",
        "self/attr/exec",
        "self/setgroups",
    ];
    let decoy = bundle.rootfs().join("decoy");
    for file in forged {
        fs::create_dir_all(decoy.join(file).parent().unwrap()).unwrap();
        fs::write(decoy.join(file), "forged").unwrap();
    }
    exchanging(&bundle.rootfs().join("proc"), &decoy, || {
        for _ in 0..RUNS {
            let _ = bundle.run();
        }
    });
    for file in forged {
        assert_eq!(fs::read(decoy.join(file)).unwrap(), b"forged", "{file}");
    }
}

/// Runs the container again and again; it may be refused, but what it sees must be protected.
fn run_and_look(bundle: &Bundle) {
    for _ in 0..RUNS {
        let ended = bundle.run();
        for line in ended.out.lines() {
            assert_eq!(line.trim_end(), "keys 1:3", "{ended:?}");
        }
    }
}
