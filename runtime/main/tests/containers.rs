//! Real bundles through the built program, as engines call it. Needs root.

#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]

#[path = "containers/answers.rs"]
mod answers;
#[path = "containers/bundle.rs"]
mod bundle;
#[path = "containers/configuration.rs"]
mod configuration;
#[path = "containers/deaths.rs"]
mod deaths;
#[path = "containers/effects.rs"]
mod effects;
#[path = "containers/flags.rs"]
mod flags;
#[path = "containers/further.rs"]
mod further;
#[path = "containers/hostile.rs"]
mod hostile;
#[path = "containers/limits.rs"]
mod limits;
#[path = "containers/rootless.rs"]
mod rootless;
#[path = "containers/sharing.rs"]
mod sharing;

use bundle::Bundle;
use serde_json::json;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use tests_harness::wait;

#[test]
fn a_container_lives_its_whole_life_and_leaves_nothing() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    let pid_file = bundle.path().join("pid");
    bundle.succeed(&["create", "--pid-file", pid_file.to_str().unwrap(), "ID"]);
    assert_eq!(bundle.status(), "created");
    assert!(!bundle.cgroups().is_empty());
    bundle.succeed(&["start", "ID"]);
    assert_eq!(bundle.status(), "running");
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    assert_eq!(bundle.succeed(&["ps", "--format", "json", "ID"]).trim(), format!("[{pid}]"));
    assert_eq!(bundle.succeed(&["exec", "ID", "hostname"]), "inside\n");
    assert_eq!(bundle.runtime(&["exec", "ID", "sh", "-c", "exit 7"]).code, 7);
    assert!(bundle.runtime(&["delete", "ID"]).err.contains("that is not stopped: running"));
    bundle.succeed(&["kill", "ID", "KILL"]);
    bundle.wait_for_status("stopped");
    assert!(bundle.runtime(&["kill", "ID"]).err.contains("container not running"));
    bundle.succeed(&["delete", "ID"]);
    assert!(bundle.runtime(&["state", "ID"]).err.contains("container does not exist"));
    bundle.assert_nothing_is_left();
}

#[test]
fn run_passes_on_the_exit_code_and_the_output() {
    let bundle = Bundle::script("echo out; echo err >&2; exit 42");
    let ended = bundle.runtime(&["run", "ID"]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (42, "out\n", "err\n"));
    let bundle = Bundle::script("sh -c 'kill -9 $$'; exit $?");
    assert_eq!(bundle.runtime(&["run", "ID"]).code, 137);
}

#[test]
fn what_cannot_be_executed_is_told_at_create_and_nothing_is_left() {
    for (program, text) in [
        ("nosuch", r#"exec: "nosuch": executable file not found in $PATH"#),
        ("/nosuch", r#"exec: "/nosuch": stat /nosuch: no such file or directory"#),
        ("/etc", r#"exec: "/etc": is a directory"#),
        ("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#),
    ] {
        let bundle = Bundle::program(&[program]);
        let ended = bundle.runtime(&["create", "ID"]);
        assert_eq!(ended.code, 1);
        // The log line quotes the quotes.
        assert!(ended.err.replace('\\', "").contains(text), "{}", ended.err);
        bundle.assert_nothing_is_left();
    }
}

#[test]
fn the_last_line_of_a_json_log_is_the_reason() {
    let bundle = Bundle::program(&["nosuch"]);
    let log = bundle.path().join("log.json");
    bundle.runtime(&["--log", log.to_str().unwrap(), "--log-format", "json", "create", "ID"]);
    let text = std::fs::read_to_string(log).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("executable file not found in $PATH"));
}

#[test]
fn the_same_id_is_refused_and_start_works_once() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["create", "ID"]);
    let again = bundle.runtime(&["create", "ID"]);
    assert!(again.err.contains("container with given ID already exists"), "{}", again.err);
    bundle.succeed(&["start", "ID"]);
    let again = bundle.runtime(&["start", "ID"]);
    assert!(again.err.contains("cannot start an already running container"), "{}", again.err);
}

#[test]
fn a_created_container_is_deleted_without_force() {
    let bundle = Bundle::program(&["true"]);
    bundle.succeed(&["create", "ID"]);
    bundle.succeed(&["delete", "ID"]);
    bundle.assert_nothing_is_left();
    bundle.succeed(&["delete", "--force", "ID"]);
}

#[test]
fn of_several_who_delete_a_container_one_does_and_all_succeed() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    let removed = bundle.path().join("removed");
    let script = format!("echo once >> {}", removed.display());
    bundle.config["hooks"] =
        json!({"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    let id = bundle.id.clone();
    for _ in 0..20 {
        bundle.succeed(&["run", "--detach", "ID"]);
        let delete = || bundle.command(&["delete", "--force", &id]).spawn().unwrap();
        for mut deletion in [(); 4].map(|()| delete()) {
            assert!(deletion.wait().unwrap().success());
        }
        bundle.assert_nothing_is_left();
    }
    assert_eq!(std::fs::read_to_string(removed).unwrap(), "once\n".repeat(20));
}

#[test]
fn the_root_is_read_only_on_request_and_paths_are_masked() {
    let mut bundle = Bundle::script(
        "touch /x 2>/dev/null && echo writable; cat /proc/kcore | wc -c; \
         echo x 2>/dev/null > /proc/sys/kernel/domainname || echo readonly; touch /dev/y && echo dev",
    );
    bundle.config["root"]["readonly"] = json!(true);
    std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin/wc")).unwrap();
    assert_eq!(bundle.run(), "0\nreadonly\ndev\n");
    bundle.assert_nothing_is_left();
}

#[test]
fn capabilities_are_exactly_those_asked_for() {
    let mut bundle = Bundle::script("grep Cap /proc/self/status");
    let out = bundle.run();
    let expected = format!("{:016x}", 1_u64 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 27);
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(out.contains(&format!("{set}:\t{expected}")), "{out}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert!(out.contains(&format!("{set}:\t{:016x}", 0)), "{out}");
    }
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let ambient = json!(["CAP_KILL"]);
    bundle.config["process"]["capabilities"] = json!({
        "bounding": ambient, "effective": ambient, "permitted": ambient, "inheritable": ambient,
        "ambient": ambient,
    });
    let out = bundle.run();
    for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
        assert!(out.contains(&format!("{set}:\t{:016x}", 1 << 5)), "{out}");
    }
}

#[test]
fn capabilities_that_cannot_be_granted_are_left_out_with_a_warning() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    let names = ["CAP_KILL", "CAP_TO_FLY"];
    bundle.config["process"]["capabilities"] =
        json!({"bounding": names, "effective": names, "permitted": names});
    let log = bundle.path().join("log");
    let logging = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let run = bundle.runtime(&[&logging[..], &["run", "--detach", "ID"]].concat());
    assert!(run.code == 0 && run.err.is_empty(), "{run:?}");
    let text = std::fs::read_to_string(&log).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["level"], "warning");
    assert_eq!(line["msg"], "ignoring unknown or unavailable capabilities: [CAP_TO_FLY]");
    // Nor are labels that the kernel has no module for taken in silence.
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        let ended = bundle.runtime(&["exec", "--process-label", "a:b:c", "ID", "true"]);
        assert!(ended.err.contains("ignoring SELinux label"), "{ended:?}");
    }
    // What the runtime itself does not have it cannot give either. A bounding set is a thread's.
    let mut exec = bundle.command(&["exec", "--cap", "CAP_SYS_TIME", &bundle.id, "true"]);
    let without_sys_time = move || {
        let sys_time = rustix::thread::CapabilitySet::SYS_TIME;
        rustix::thread::remove_capability_from_bounding_set(sys_time).unwrap();
        exec.output().unwrap()
    };
    let out = std::thread::spawn(without_sys_time).join().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{said}");
    assert!(said.contains("level=warning"), "{said}");
    assert!(said.contains("capabilities: [CAP_SYS_TIME CAP_TO_FLY]"), "{said}");
}

#[test]
fn a_user_has_its_groups_and_its_home() {
    let mut bundle = Bundle::script("id; echo $HOME; umask");
    assert!(bundle.run().ends_with("/root\n0022\n"));
    bundle.config["process"]["user"] =
        json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o77});
    assert_eq!(bundle.run(), "uid=7 gid=8 groups=9,10\n/\n0077\n");
}

#[test]
fn seccomp_denies_what_the_profile_denies_with_and_without_new_privileges() {
    for no_new_privileges in [false, true] {
        let mut bundle =
            Bundle::script("mkdir /tmp/x; echo $?; rmdir /tmp; grep Seccomp: /proc/self/status");
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
                {"names": ["rmdir", "unlinkat"], "action": "SCMP_ACT_ERRNO"},
            ],
        });
        let ended = bundle.runtime(&["run", "ID"]);
        assert_eq!(ended.out, "1\nSeccomp:\t2\n", "{ended:?}");
        assert!(ended.err.contains("Read-only file system"), "{ended:?}");
        assert!(ended.err.contains("Operation not permitted"), "{ended:?}");
    }
}

#[test]
fn a_process_that_joins_is_confined_like_the_first() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    });
    bundle.succeed(&["create", "ID"]);
    // Also before the container is started.
    assert_eq!(bundle.runtime(&["exec", "ID", "mkdir", "/tmp/x"]).code, 1);
    bundle.succeed(&["start", "ID"]);
    let own =
        bundle.succeed(&["exec", "ID", "grep", "-E", "Cap|Seccomp:|NoNew", "/proc/self/status"]);
    let first =
        bundle.succeed(&["exec", "ID", "grep", "-E", "Cap|Seccomp:|NoNew", "/proc/1/status"]);
    assert_eq!(own, first);
    let cgroup = bundle.succeed(&["exec", "ID", "cat", "/proc/self/cgroup"]);
    assert_eq!(cgroup, bundle.succeed(&["exec", "ID", "cat", "/proc/1/cgroup"]));
    assert!(bundle.runtime(&["exec", "ID", "nosuch"]).err.contains("exec failed: "));
}

#[test]
fn a_paused_container_stands_still_until_it_is_resumed() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["create", "ID"]);
    bundle.succeed(&["start", "ID"]);
    bundle.succeed(&["pause", "ID"]);
    assert_eq!(bundle.status(), "paused");
    assert!(bundle.runtime(&["exec", "ID", "true"]).err.contains("paused container"));
    assert!(bundle.runtime(&["pause", "ID"]).err.contains("container not running"));
    bundle.succeed(&["resume", "ID"]);
    assert_eq!(bundle.status(), "running");
    assert!(bundle.runtime(&["resume", "ID"]).err.contains("container not paused"));
    bundle.succeed(&["pause", "ID"]);
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.succeed(&["create", "ID"]);
    bundle.succeed(&["pause", "ID"]);
    let text = "cannot start a container in the paused state";
    assert!(bundle.runtime(&["start", "ID"]).err.contains(text));
    bundle.succeed(&["resume", "ID"]);
    assert_eq!(bundle.status(), "created");
    bundle.succeed(&["start", "ID"]);
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn limits_are_set_updated_and_counted() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["linux"]["resources"]["pids"] = json!({"limit": 20});
    bundle.config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    bundle.succeed(&["create", "ID"]);
    let stats = |bundle: &Bundle| -> serde_json::Value {
        serde_json::from_str(&bundle.succeed(&["events", "--stats", "ID"])).unwrap()
    };
    let first = stats(&bundle);
    assert_eq!(first["data"]["memory"]["usage"]["limit"], 64 << 20);
    assert_eq!(first["data"]["pids"], json!({"current": 1, "limit": 20}));
    bundle.succeed(&["update", "--memory", "32M", "--pids-limit", "10", "ID"]);
    let second = stats(&bundle);
    assert_eq!(second["data"]["memory"]["usage"]["limit"], 32 << 20);
    assert_eq!(second["data"]["pids"]["limit"], 10);
    bundle.succeed(&["update", "--memory", "-1", "ID"]);
    assert!(stats(&bundle)["data"]["memory"]["usage"]["limit"].as_u64().unwrap() > 1 << 40);
}

#[test]
fn every_mount_option_that_is_told_of_is_taken() {
    let features: serde_json::Value =
        serde_json::from_str(&Bundle::script("true").succeed(&["features"])).unwrap();
    let special = ["bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup"];
    let options: Vec<&str> = features["mountOptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|option| option.as_str().unwrap())
        .filter(|option| !special.contains(option))
        .collect();
    // One mount with all of them: the last word on each attribute counts.
    let mut bundle = Bundle::script("grep -c ' /data ' /proc/self/mountinfo");
    bundle.config["mounts"].as_array_mut().unwrap().push(
        json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": options}),
    );
    assert_eq!(bundle.run(), "1\n");
}

#[test]
fn a_terminal_goes_to_the_console_socket() {
    let mut bundle = Bundle::script("tty; stty size; test -c /dev/console && echo console");
    bundle.config["process"]["terminal"] = json!(true);
    bundle.config["process"]["consoleSize"] = json!({"height": 33, "width": 77});
    let path = bundle.path().join("console.sock");
    let listener = UnixListener::bind(&path).unwrap();
    bundle.succeed(&["create", "--console-socket", path.to_str().unwrap(), "ID"]);
    let master = receive_descriptor(&listener);
    bundle.succeed(&["start", "ID"]);
    bundle.wait_for_status("stopped");
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    // EIO is a terminal's end.
    while let Ok(length) = rustix::io::read(&master, &mut buffer) {
        text.extend_from_slice(&buffer[..length]);
    }
    assert_eq!(String::from_utf8(text).unwrap(), "/dev/pts/0\r\n33 77\r\nconsole\r\n");
    let mut refused = Bundle::script("true");
    refused.config["process"]["terminal"] = json!(true);
    assert!(refused.runtime(&["create", "ID"]).err.contains("cannot allocate tty"));
}

#[test]
#[ignore = "wants a CRIU that knows the kernel: tests/vm has both"]
fn a_restored_terminal_goes_to_the_console_socket() {
    let mut bundle = Bundle::script("while read word; do echo $word again; done");
    bundle.config["process"]["terminal"] = json!(true);
    let path = bundle.path().join("console.sock");
    let image = bundle.path().join("image").display().to_string();
    let socket = path.display().to_string();
    let listener = UnixListener::bind(&path).unwrap();
    bundle.succeed(&["create", "--console-socket", &socket, "ID"]);
    let before = receive_descriptor(&listener);
    bundle.succeed(&["start", "ID"]);
    bundle.succeed(&["checkpoint", "--image-path", &image, "ID"]);
    drop(before);
    let flags = ["restore", "--detach", "--image-path", &image, "--console-socket", &socket, "ID"];
    bundle.succeed(&flags);
    let master = receive_descriptor(&listener);
    rustix::io::write(&master, b"word\n").unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !text.ends_with(b"word again\r\n") {
        let length = rustix::io::read(&master, &mut buffer).unwrap();
        text.extend_from_slice(&buffer[..length]);
    }
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();
}

fn receive_descriptor(listener: &UnixListener) -> OwnedFd {
    let (stream, _) = listener.accept().unwrap();
    let mut buffer = [0; 256];
    let (_, descriptors) = kernel_sys::message::receive(&stream, &mut buffer).unwrap();
    descriptors.into_iter().next().unwrap()
}

#[test]
fn volumes_are_bound_with_their_options_and_missing_places_are_made() {
    let mut bundle = Bundle::script(
        "cat /data/deep/file; touch /data/deep/x 2>/dev/null || echo ro; cat /etc/one",
    );
    let source = bundle.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "content\n").unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/data/deep", "source": source,
        "options": ["rbind", "ro", "rprivate"]}));
    mounts.push(json!({"destination": "/etc/one", "source": "source/file", "type": "bind"}));
    assert_eq!(bundle.run(), "content\nro\ncontent\n");
    bundle.assert_nothing_is_left();
}

#[test]
fn a_tmpfs_has_the_permissions_of_what_it_hides() {
    use std::os::unix::fs::PermissionsExt;
    let mut bundle = Bundle::script("ls -ld /tmp; grep ' /tmp ' /proc/self/mountinfo");
    let mode = std::fs::Permissions::from_mode(0o750);
    std::fs::set_permissions(bundle.rootfs().join("tmp"), mode).unwrap();
    bundle.config["mounts"].as_array_mut().unwrap().push(
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["noexec"]}),
    );
    let out = bundle.run();
    assert!(out.starts_with("drwxr-x---") && !out.contains("mode="), "{out}");
}

#[test]
fn a_joined_network_namespace_is_the_given_one() {
    let mut bundle = Bundle::program(&["readlink", "/proc/self/ns/net"]);
    let holder =
        std::process::Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::fs::read_link(&path).unwrap() == own {
        assert!(std::time::Instant::now() < deadline, "unshare made no namespace");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let expected = std::fs::read_link(&path).unwrap();
    bundle.config["linux"]["namespaces"][1] = json!({"type": "network", "path": path});
    let out = bundle.run();
    let mut holder = holder;
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(out.trim(), expected.to_str().unwrap());
}

#[test]
fn root_of_a_user_namespace_is_nobody_special_outside() {
    let mut bundle = Bundle::script("id -u; cat /proc/self/uid_map; touch /tmp/x && echo made");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    let tmp = bundle.rootfs().join("tmp");
    std::os::unix::fs::chown(&tmp, Some(100_000), Some(100_000)).unwrap();
    std::os::unix::fs::chown(bundle.rootfs(), Some(100_000), Some(100_000)).unwrap();
    let out = bundle.run();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "made"]);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(tmp.join("x").metadata().unwrap().uid(), 100_000);
    bundle.assert_nothing_is_left();
}

#[test]
fn hooks_of_every_phase_run_in_order() {
    let mut bundle = Bundle::program(&["true"]);
    let record = bundle.path().join("hooks");
    let hook = |name: &str| {
        let script = format!("cat >/dev/null; echo {name} >> {}", record.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    bundle.config["hooks"] = json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"),
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
    });
    bundle.run();
    assert_eq!(
        std::fs::read_to_string(&record).unwrap(),
        "prestart\ncreateRuntime\ncreateContainer\npoststart\npoststop\n"
    );
    std::fs::remove_file(&record).unwrap();
    bundle.config["hooks"] =
        json!({"createRuntime": [{"path": "/bin/false"}], "poststop": hook("poststop")});
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.err.contains("error running createRuntime hook #0"), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&record).unwrap(), "poststop\n");
    bundle.assert_nothing_is_left();
}

#[test]
fn a_failed_poststart_hook_stops_the_container() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["hooks"] = json!({"poststart": [{"path": "/bin/false"}]});
    bundle.succeed(&["create", "ID"]);
    let ended = bundle.runtime(&["start", "ID"]);
    assert!(ended.err.contains("error running poststart hook #0"), "{ended:?}");
    bundle.wait_for_status("stopped");
    bundle.succeed(&["delete", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn a_container_counts_as_being_created_until_it_is() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    let (mark, go_on) = (bundle.path().join("mark"), bundle.path().join("go-on"));
    let script =
        format!("cat > {}; until test -e {}; do sleep 0.01; done", mark.display(), go_on.display());
    bundle.config["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    let id = bundle.id.clone();
    let mut create = bundle.command(&["create", &id]).spawn().unwrap();
    wait_for("the hook", || mark.exists().then_some(()));
    assert_eq!(bundle.status(), "creating");
    assert!(bundle.runtime(&["delete", "ID"]).err.contains("that is not stopped: creating"));
    // Its root is still the host's, and nobody knows its filter.
    let exec = bundle.runtime(&["exec", "ID", "true"]);
    assert!(exec.code == 255 && exec.err.contains("is being created"), "{exec:?}");
    std::fs::write(&go_on, "").unwrap();
    assert!(create.wait().unwrap().success());
    assert_eq!(bundle.status(), "created");
}

#[test]
fn processes_that_multiply_do_not_outlive_a_container_that_shares_its_pids() {
    let mut bundle = Bundle::script("spawn() { (spawn) & (sleep 1000) & }; spawn; sleep 1000");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "pid");
    bundle.config["linux"]["resources"]["pids"] = json!({"limit": 60});
    // A shared pid namespace is no reason for a shared procfs.
    bundle.config["mounts"].as_array_mut().unwrap().retain(|m| m["destination"] != "/proc");
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    bundle.succeed(&["run", "--detach", "ID"]);
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.config["process"]["args"] = json!(["sh", "-c", "sleep 1000 & sleep 1001 & sleep 1002"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let processes = || -> Vec<i32> {
        serde_json::from_str(&bundle.succeed(&["ps", "--format", "json", "ID"])).unwrap()
    };
    let come_to = |count: usize| {
        let limit = std::time::Duration::from_secs(60);
        wait::until("the processes", limit, || match processes().len() {
            found if found == count => Ok(()),
            found => Err(format!("{found} instead of {count}")),
        });
    };
    // The shell becomes its last command.
    come_to(3);
    bundle.succeed(&["kill", "ID", "KILL"]);
    come_to(0);
    bundle.succeed(&["delete", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn a_private_cgroup_namespace_shows_the_own_cgroup_as_root() {
    let mut bundle = Bundle::script("cat /proc/self/cgroup; echo --; cat /proc/mounts");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "cgroup"}));
    bundle.config["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"],
    }));
    let out = bundle.run();
    let (groups, mounts) = out.split_once("--\n").unwrap();
    assert!(groups.lines().all(|line| line.ends_with(":/")), "{groups}");
    // As under runc, a named hierarchy is mounted from its name.
    for line in mounts.lines().filter(|line| line.contains("name=")) {
        let source = line.split(' ').next().unwrap();
        assert!(line.contains(&format!("name={source}")), "{line}");
    }
    bundle.assert_nothing_is_left();
}

#[test]
fn many_containers_at_once_all_start_and_all_go() {
    // Made before: a program that is still open for writing, in a process just forked, cannot be run.
    let made: Vec<[Bundle; 3]> =
        (0..8).map(|_| std::array::from_fn(|_| Bundle::script("echo here"))).collect();
    std::thread::scope(|scope| {
        for bundles in &made {
            scope.spawn(move || {
                for bundle in bundles {
                    assert_eq!(bundle.run(), "here\n");
                    bundle.assert_nothing_is_left();
                }
            });
        }
    });
}

#[test]
fn a_creator_that_is_killed_leaves_no_process_and_the_rest_can_be_deleted() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    let mark = bundle.path().join("mark");
    // The hook is its own process and outlives its caller, as any would: until its folder is gone.
    let folder = bundle.path().display();
    let script = format!("cat > {}; while test -d {folder}; do sleep 0.05; done", mark.display());
    bundle.config["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    let id = bundle.id.clone();
    let mut create = bundle.command(&["create", &id]).spawn().unwrap();
    let init = wait_for("the hook's state", || {
        let state: serde_json::Value = serde_json::from_slice(&std::fs::read(&mark).ok()?).ok()?;
        state["pid"].as_i64()
    });
    create.kill().unwrap();
    create.wait().unwrap();
    wait_for("init's end", || {
        let stat = std::fs::read_to_string(format!("/proc/{init}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
    assert_eq!(bundle.status(), "stopped");
    bundle.succeed(&["delete", "ID"]);
    bundle.assert_nothing_is_left();
}

fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    // Long enough for an emulated machine that is busy.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(std::time::Instant::now() < deadline, "waiting for {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
