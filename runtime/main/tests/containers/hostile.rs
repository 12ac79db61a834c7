//! Hostile images and configurations.

use crate::bundle::Bundle;
use serde_json::json;

#[test]
fn an_image_s_links_do_not_lead_a_mount_out_of_the_root() {
    let mut bundle = Bundle::script("ls /trap");
    let outside = bundle.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, bundle.rootfs().join("trap")).unwrap();
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/trap/inner", "type": "tmpfs", "source": "tmpfs"}));
    assert_eq!(bundle.run(), "inner\n");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn proc_cannot_be_replaced_by_a_link_or_covered() {
    let bundle = Bundle::script("true");
    std::fs::remove_dir(bundle.rootfs().join("proc")).unwrap();
    std::os::unix::fs::symlink("/tmp", bundle.rootfs().join("proc")).unwrap();
    assert!(bundle.runtime(&["run", "ID"]).err.contains("must be a folder, not a link"));
    let mut bundle = Bundle::script("true");
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/proc/self", "type": "tmpfs", "source": "tmpfs"}));
    assert!(bundle.runtime(&["run", "ID"]).err.contains("it is inside /proc"));
    let mut bundle = Bundle::script("true");
    bundle.config["mounts"][0] =
        json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"});
    assert!(bundle.runtime(&["run", "ID"]).err.contains("it is not of type proc"));
    bundle.assert_nothing_is_left();
}

/// CVE-2019-5736.
#[test]
fn the_runtime_s_own_file_cannot_be_written_through_a_process_of_the_container() {
    let bundle = Bundle::program(&["true"]);
    bundle.succeed(&["create", "ID"]);
    let state: serde_json::Value = serde_json::from_str(&bundle.succeed(&["state", "ID"])).unwrap();
    let file = format!("/proc/{}/exe", state["pid"]);
    // Opening it for writing says "busy" while it runs; what counts is afterwards.
    let flags = rustix::fs::statvfs(&file).unwrap().f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{flags:?}");
}

/// CVE-2024-21626.
#[test]
fn a_working_directory_behind_a_descriptor_is_not_entered() {
    for number in 3..20 {
        let mut bundle = Bundle::script("ls /proc/self/cwd/../../../etc/hostname");
        bundle.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let ended = bundle.runtime(&["run", "ID"]);
        assert_ne!(ended.code, 0, "{number}: {ended:?}");
        assert_eq!(ended.out, "", "{number}: {ended:?}");
    }
}

/// CVE-2026-41579, CVE-2026-47766.
#[test]
fn an_image_whose_dev_is_a_link_gets_no_device_outside() {
    let bundle = Bundle::script("true");
    let outside = bundle.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::remove_dir(bundle.rootfs().join("dev")).unwrap();
    std::os::unix::fs::symlink("../../../../../../../outside", bundle.rootfs().join("dev"))
        .unwrap();
    let _ = bundle.runtime(&["run", "ID"]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    bundle.assert_nothing_is_left();
}

/// CVE-2026-30892.
#[test]
fn a_user_that_is_no_number_is_refused_by_exec() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    for user in ["1000x", "1000:", ":5", "-1", "", "4294967296"] {
        assert_ne!(bundle.runtime(&["exec", "--user", user, "ID", "id"]).code, 0, "{user}");
    }
    let out = bundle.succeed(&["exec", "--user", "1000:7", "ID", "id"]);
    assert_eq!(out, "uid=1000 gid=7\n");
    let inherited = bundle.succeed(&[
        "exec",
        "--cap",
        "CAP_NET_RAW",
        "ID",
        "grep",
        "CapInh",
        "/proc/self/status",
    ]);
    assert_eq!(inherited, "CapInh:\t0000000000000000\n");
}

#[test]
fn no_descriptor_of_the_caller_reaches_the_program_or_a_hook_unless_it_is_asked_for() {
    let mut bundle = Bundle::script("ls /proc/self/fd | grep -v ^3$");
    let seen = bundle.path().join("seen");
    let hook = format!("readlink /proc/self/fd/7 /proc/self/fd/8 > {} || true", seen.display());
    bundle.config["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", hook],
            "env": ["PATH=/bin:/usr/bin"]}]});
    // Two further descriptors, as a careless caller leaves them open.
    let script = format!(
        "exec 7</etc/passwd 8</etc; exec {} --root {} run {}",
        env!("CARGO_BIN_EXE_gantry-runtime"),
        bundle.state_root().display(),
        bundle.id
    );
    drop(bundle.command(&[]));
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(bundle.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n1\n2\n");
    assert_eq!(std::fs::read_to_string(seen).unwrap(), "");
}

#[test]
fn sysctls_of_the_host_are_refused() {
    let mut bundle = Bundle::script("cat /proc/sys/net/ipv4/ip_unprivileged_port_start");
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "7"});
    assert_eq!(bundle.run(), "7\n");
    bundle.config["linux"]["sysctl"] = json!({"kernel.core_pattern": "x"});
    assert!(bundle.runtime(&["run", "ID"]).err.contains("not in a separate kernel namespace"));
}

#[test]
fn devices_that_are_not_allowed_cannot_be_opened() {
    let bundle = Bundle::script(
        "mknod /tmp/mem c 1 1 && cat /tmp/mem; echo $?; cat /dev/zero | dd of=/dev/null bs=1 count=1 2>/dev/null; echo $?",
    );
    let ended = bundle.runtime(&["run", "ID"]);
    assert_eq!(ended.out, "1\n0\n", "{ended:?}");
    assert!(ended.err.contains("Operation not permitted"), "{ended:?}");
}
