//! What a person sees inside a container.

#![forbid(unsafe_code)]

use tests_engine::Stage;

#[test]
fn debian_has_its_own_processes_address_root_and_name() {
    let stage = Stage::with(&["debian"]);
    for client in stage.clients() {
        let ps = client.ok(&["run", "--rm", "debian", "ps", "-eo", "pid,comm", "--no-headers"]);
        assert_eq!(ps.trim(), "1 ps", "{ps}");
        let ifconfig = client.ok(&["run", "--rm", "debian", "ifconfig"]);
        assert!(ifconfig.contains("eth0: flags=") && ifconfig.contains("inet 172."), "{ifconfig}");
        let address =
            client.ok(&["run", "--rm", "debian", "ip", "-4", "-o", "addr", "show", "eth0"]);
        assert!(address.contains("/16 brd 172."), "{address}");
        let df = client.ok(&["run", "--rm", "debian", "df", "-h", "/"]);
        assert!(df.lines().nth(1).is_some_and(|line| line.starts_with("overlay")), "{df}");
        assert_eq!(
            client.ok(&["run", "--rm", "-h", "box.example.org", "debian", "hostname", "-f"]),
            "box.example.org"
        );
    }
}

#[test]
fn packages_can_be_installed_because_names_resolve_and_the_network_is_reached() {
    let stage = Stage::with(&["debian"]);
    let client = &stage.clients()[0];
    // The machine's own package sources, so that whatever it reaches the container reaches.
    let sources = client.ok(&[
        "run",
        "--rm",
        "-v",
        "/etc/apt:/etc/apt:ro",
        "debian",
        "sh",
        "-c",
        "exec 3>&1 >&2; apt='apt-get -qq -o Acquire::Retries=5'; $apt update && \
         $apt install -y --no-install-recommends jq && jq --version >&3",
    ]);
    assert!(sources.contains("jq-"), "{sources}");
}

#[test]
fn options_reach_the_process() {
    let stage = Stage::with(&["busybox"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "from the host\n").unwrap();
    let bind = format!("{}:/mnt/host:ro", folder.path().display());
    for client in stage.clients() {
        assert_eq!(
            client.ok(&[
                "run",
                "--rm",
                "-e",
                "A=1",
                "-w",
                "/tmp/new",
                "-u",
                "www-data:staff",
                "busybox",
                "sh",
                "-c",
                "echo $A $PWD $(id -u):$(id -g)"
            ]),
            "1 /tmp/new 33:50"
        );
        assert_eq!(
            client.ok(&["run", "--rm", "-v", &bind, "busybox", "cat", "/mnt/host/file"]),
            "from the host"
        );
        let (_, error) =
            client.fails(&["run", "--rm", "-v", &bind, "busybox", "touch", "/mnt/host/file"]);
        assert!(error.contains("Read-only file system"), "{error}");
        let (_, error) = client.fails(&["run", "--rm", "--read-only", "busybox", "touch", "/x"]);
        assert!(error.contains("Read-only file system"), "{error}");
        let tmpfs = client.ok(&[
            "run",
            "--rm",
            "--read-only",
            "--tmpfs",
            "/t:size=1m",
            "busybox",
            "sh",
            "-c",
            "touch /t/x && grep ' /t ' /proc/mounts",
        ]);
        assert!(
            tmpfs.starts_with("tmpfs /t tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k"),
            "{tmpfs}"
        );
        assert_eq!(
            client.ok(&["run", "--rm", "--entrypoint", "echo", "busybox", "entry"]),
            "entry"
        );
        let caps = client.ok(&[
            "run",
            "--rm",
            "--cap-drop",
            "ALL",
            "--cap-add",
            "NET_ADMIN",
            "busybox",
            "grep",
            "CapEff",
            "/proc/self/status",
        ]);
        assert_eq!(caps.split_whitespace().last(), Some("0000000000001000"));
        let caps = client.ok(&["run", "--rm", "busybox", "grep", "CapEff", "/proc/self/status"]);
        assert_eq!(caps.split_whitespace().last(), Some("00000000a80425fb"));
        let links =
            client.ok(&["run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net"]);
        assert_eq!(links, "lo");
        let _ = client.ok(&[
            "run",
            "--rm",
            "--privileged",
            "busybox",
            "mount",
            "-t",
            "tmpfs",
            "x",
            "/tmp",
        ]);
    }
}

#[test]
fn limits_are_the_cgroups() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let limits = client.ok(&[
            "run", "--rm", "--memory", "64m", "--cpus", "1.5", "--pids-limit", "42", "busybox", "sh", "-c",
            "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max",
        ]);
        assert_eq!(limits, "67108864\n150000\n42");
    }
}

#[test]
fn a_named_volume_keeps_data_and_is_filled_from_the_image() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let _ = client.ok(&[
            "run",
            "--rm",
            "-v",
            "keep:/data",
            "busybox",
            "sh",
            "-c",
            "echo kept >/data/file",
        ]);
        assert_eq!(
            client.ok(&["run", "--rm", "-v", "keep:/data", "busybox", "cat", "/data/file"]),
            "kept"
        );
        let listed =
            client.ok(&["run", "--rm", "-v", "fresh:/etc", "busybox", "cat", "/etc/group"]);
        assert!(listed.contains("staff:x:50:nobody"), "{listed}");
        let _ = client.ok(&["volume", "rm", "keep", "fresh"]);
    }
}
