//! What a configuration may say, and what it must not.

use super::bundle::{Bundle, program};
use serde_json::{Value, json};

/// Adds a mount to the configuration.
fn mount(bundle: &mut Bundle, mount: Value) {
    bundle.config["mounts"].as_array_mut().unwrap().push(mount);
}

#[test]
fn a_tmpfs_may_be_read_only_and_hold_other_mounts() {
    for option in ["ro", "rro"] {
        let mut bundle = Bundle::script("ls -ld /data; cat /data/deep/x; touch /data/y");
        std::fs::create_dir(bundle.rootfs().join("data")).unwrap();
        std::fs::write(bundle.path().join("x"), "content\n").unwrap();
        mount(&mut bundle, json!({"destination": "/data", "type": "tmpfs", "options": [option]}));
        mount(&mut bundle, json!({"destination": "/data/deep/x", "type": "bind", "source": "x"}));
        let ended = bundle.runtime(&["run", "ID"]);
        assert!(
            ended.out.starts_with("drwxr-xr-x") && ended.out.ends_with("content\n"),
            "{ended:?}"
        );
        assert!(ended.err.contains("Read-only file system"), "{ended:?}");
    }
    // As the folder of the devices, too.
    let mut bundle = Bundle::script("cat /dev/null && touch /dev/x");
    bundle.config["mounts"][1]["options"] = json!(["nosuid", "ro"]);
    assert_eq!(bundle.config["mounts"][1]["destination"], "/dev");
    let ended = bundle.runtime(&["run", "ID"]);
    assert_eq!(ended.err.matches("Read-only file system").count(), 1, "{ended:?}");
}

#[test]
fn a_remount_changes_the_file_system_and_the_mount_that_are_there() {
    let remount = |destination: &str| {
        json!({"destination": destination, "type": "tmpfs",
            "options": ["remount", "size=2m,mode=700", "noexec", "ro"]})
    };
    let mut bundle = Bundle::script("grep ' /data ' /proc/self/mountinfo; ls -ld /data");
    mount(&mut bundle, json!({"destination": "/data", "type": "tmpfs", "options": ["size=1m"]}));
    mount(&mut bundle, remount("/data"));
    let out = bundle.run();
    assert!(out.contains(" ro,noexec,") && out.contains("size=2048k"), "{out}");
    // There is nothing that could be changed.
    let mut bundle = Bundle::program(&["true"]);
    mount(&mut bundle, remount("/tmp"));
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(
        ended.code == 1 && ended.err.contains("mount tmpfs to /tmp: invalid argument"),
        "{ended:?}"
    );
}

#[test]
fn paths_with_dots_are_hidden_and_the_root_can_be_protected_as_a_path() {
    let mut bundle = Bundle::script("cat /etc/passwd; cat /tmp/x");
    std::fs::write(bundle.rootfs().join("tmp/x"), "x\n").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/../etc", "/tmp/./y/../x"]);
    let ended = bundle.runtime(&["run", "ID"]);
    assert_eq!(ended.out, "", "{ended:?}");
    let mut bundle = Bundle::script("touch /x");
    bundle.config["linux"]["readonlyPaths"] = json!(["/"]);
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.err.contains("Read-only file system"), "{ended:?}");
}

#[test]
fn what_has_no_meaning_is_refused_in_words() {
    let offsets = json!({"monotonic": {"secs": 1}});
    let over_root = json!([{"destination": "/..", "type": "tmpfs"}]);
    let relative = json!({"poststop": [], "createRuntime": [{"path": "sh"}]});
    for (pointer, value, words) in [
        ("/process/cwd", json!(""), "Cwd property must not be empty"),
        ("/process/cwd", json!("tmp"), "cwd must be an absolute path"),
        ("/process/args", json!([]), "args must not be empty"),
        ("/root", Value::Null, "root must be specified"),
        ("/linux/timeOffsets", offsets, "time namespace isn't enabled in the config"),
        ("/linux/maskedPaths", json!(["/"]), "masked path \"/\" is not valid"),
        ("/linux/seccomp", json!({"syscalls": [{"names": ["x"]}]}), "seccomp defaultAction \"\""),
        ("/mounts", over_root, "mount destination \"/..\" is not valid"),
        ("/hooks", relative, "is not absolute"),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "I/O priority \"8\" is not valid",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "nice": 20}),
            "nice value \"20\" is not valid",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "priority": 1}),
            "scheduler.priority can only be specified for SchedFIFO or SchedRR policy",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_BATCH", "runtime": 1_000_000}),
            "scheduler runtime/deadline/period can only be specified for SchedDeadline policy",
        ),
    ] {
        let mut bundle = Bundle::program(&["true"]);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        bundle.config.pointer_mut(parent).unwrap()[name] = value;
        let ended = bundle.runtime(&["create", "ID"]);
        assert_eq!(ended.code, 1, "{pointer}: {ended:?}");
        assert!(ended.err.replace('\\', "").contains(words), "{pointer}: {ended:?}");
        bundle.assert_nothing_is_left();
    }
}

#[test]
fn a_filter_that_says_nothing_is_none() {
    let mut bundle = Bundle::script("grep Seccomp: /proc/self/status");
    bundle.config["linux"]["seccomp"] = json!({});
    assert_eq!(bundle.run(), "Seccomp:\t0\n");
}

#[test]
fn memory_policies_need_no_nodes() {
    for (mode, shown) in [("MPOL_DEFAULT", "default"), ("MPOL_LOCAL", "local")] {
        let mut bundle = Bundle::program(&["cat", "/proc/self/numa_maps"]);
        bundle.config["linux"]["memoryPolicy"] = json!({"mode": mode});
        if !std::path::Path::new("/proc/self/numa_maps").exists() {
            // The kernel knows one node only, and no policies.
            continue;
        }
        let out = bundle.run();
        let policies = out.lines().filter_map(|line| line.split(' ').nth(1));
        assert!(!out.is_empty() && policies.into_iter().all(|policy| policy == shown), "{out}");
    }
}

#[test]
fn a_program_that_the_kernel_refuses_has_failed_itself() {
    let bundle = Bundle::program(&["/bin/text"]);
    let file = bundle.rootfs().join("bin/text");
    std::fs::write(&file, "no program\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = "exec /bin/text: exec format error\n";
    let ended = bundle.runtime(&["run", "ID"]);
    assert_eq!((ended.code, ended.err.as_str()), (255, text));
    bundle.succeed(&["create", "ID"]);
    bundle.succeed(&["start", "ID"]);
    bundle.wait_for_status("stopped");
    bundle.succeed(&["delete", "ID"]);
    bundle.assert_nothing_is_left();
}

#[test]
fn of_variables_with_one_name_the_last_counts() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "A=1", "A=2"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let args = ["exec", "-e", "B=1", "-e", "PATH=/bin:/x", "-e", "B=2", "ID"];
    let script = ["sh", "-c", "tr '\\0' '\\n' < /proc/1/environ | grep A=; echo $B $PATH"];
    std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin/tr")).unwrap();
    assert_eq!(bundle.succeed(&[&args[..], &script].concat()), "A=2\n2 /bin:/x\n");
}

#[test]
fn hooks_hear_of_the_container_as_it_is_where_they_run() {
    let mut bundle = Bundle::script("cat /state");
    let file = |name: &str| bundle.path().join(name);
    let into = |file: &std::path::Path, more: &str| {
        let script = format!("cat > {}{more}", file.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    let folder = format!("; pwd > {}", file("folder").display());
    bundle.config["hooks"] = json!({
        "createRuntime": into(&file("outside"), ""),
        "createContainer": into(&file("inside"), &folder),
        "startContainer": into(std::path::Path::new("/state"), ""),
    });
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(bundle.path().join(name)).unwrap()).unwrap()
    };
    let started: Value = serde_json::from_str(&bundle.run()).unwrap();
    assert!(read("outside")["pid"].as_i64().unwrap() > 1);
    assert_eq!(
        (&read("inside")["pid"], &read("inside")["status"]),
        (&json!(1), &json!("creating"))
    );
    assert_eq!((&started["pid"], &started["status"]), (&json!(1), &json!("created")));
    // Not the configuration's version, which is 1.0.2.
    assert_eq!(started["ociVersion"], "1.3.0");
    let folder = std::fs::read_to_string(bundle.path().join("folder")).unwrap();
    assert_eq!(folder.trim(), bundle.rootfs().canonicalize().unwrap().to_str().unwrap());
}

#[test]
fn hooks_after_the_start_hear_of_it_and_a_failed_last_one_is_warned_of() {
    let mut bundle = Bundle::script("true");
    let hook = |script: &str| json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
    bundle.config["hooks"] = json!({
        "poststart": [hook("cat > started; pwd > folder")],
        "poststop": [hook("exit 3"), hook("touch stopped")],
    });
    let at = |name: &str| bundle.path().join(name);
    for _ in 0..10 {
        let ended = bundle.runtime(&["run", "ID"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains("level=warning") && ended.err.contains("poststop"), "{ended:?}");
        let state: Value = serde_json::from_slice(&std::fs::read(at("started")).unwrap()).unwrap();
        assert!(["running", "stopped"].map(Value::from).contains(&state["status"]), "{state}");
        std::fs::remove_file(at("stopped")).unwrap();
    }
    let folder = std::fs::read_to_string(at("folder")).unwrap();
    assert_eq!(folder.trim(), bundle.path().canonicalize().unwrap().to_str().unwrap());
    bundle.assert_nothing_is_left();
}

#[test]
fn the_clocks_of_a_user_namespace_can_be_set() {
    let mut bundle = Bundle::script("cat /proc/self/timens_offsets");
    bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .extend([json!({"type": "user"}), json!({"type": "time"})]);
    for maps in ["uidMappings", "gidMappings"] {
        bundle.config["linux"][maps] =
            json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    }
    std::os::unix::fs::chown(bundle.rootfs(), Some(100_000), Some(100_000)).unwrap();
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000}});
    let out = bundle.run();
    assert!(out.contains("1000000"), "{out}");
    bundle.assert_nothing_is_left();
}

#[test]
fn sockets_that_systemd_opened_reach_the_program() {
    let mut bundle =
        Bundle::script("echo $LISTEN_PID $LISTEN_FDS; cat <&3; test -e /proc/self/fd/4");
    std::fs::write(bundle.path().join("three"), "third\n").unwrap();
    let script = format!(
        "exec 3< {} 4< /dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"",
        bundle.path().join("three").display()
    );
    let program = program().display().to_string();
    bundle.caller = ["sh", "-c", &script, &program].map(str::to_owned).to_vec();
    let ended = bundle.runtime(&["run", "ID"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, "1 1\nthird\n"), "{ended:?}");
    // Somebody else's stay where they are.
    bundle.caller[2] = script.replace("$$", "1");
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.out.starts_with('\n') && !ended.out.contains("third"), "{ended:?}");
}

#[test]
fn ps_takes_the_options_of_the_hosts() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let pid = bundle.succeed(&["ps", "-f", "json", "ID"]);
    let out = bundle.succeed(&["ps", "ID", "-o", "pid"]);
    assert_eq!(format!("[{}]", out.lines().nth(1).unwrap().trim()), pid.trim());
    assert!(bundle.runtime(&["ps", "ID", "--nosuch"]).err.contains("ps: "));
}

#[test]
fn commands_take_what_runc_s_take() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["process"]["noNewPrivileges"] = json!(true);
    bundle.succeed(&["run", "--bundle", "", "--detach", "ID"]);
    let flag = ["grep", "NoNewPrivs", "/proc/self/status"];
    let exec = |args: &[&str], program: &[&str]| {
        bundle.runtime(&[&["exec"], args, &["ID"], program].concat())
    };
    assert_eq!(exec(&[], &flag).out, "NoNewPrivs:\t1\n");
    assert_eq!(exec(&["--no-new-privs=false"], &flag).out, "NoNewPrivs:\t0\n");
    for (args, program, words) in [
        (&["--user", "x"][..], &["true"][..], "exec failed: invalid user"),
        (&[], &[], "exec failed: exec args cannot be empty"),
        (&["--tty", "--detach"], &["true"], "exec failed: cannot allocate tty"),
        (&["--console-socket", "/x"], &["true"], "exec failed: cannot use console socket"),
    ] {
        let ended = exec(args, program);
        assert!(ended.code == 255 && ended.err.contains(words), "{ended:?}");
    }
    let refused = bundle.runtime(&["run", "--console-socket", "/x", "other"]);
    assert!(refused.err.contains("cannot use console socket"), "{refused:?}");
    for args in [&["start", "ID", "other"][..], &["list", "x"], &["kill", "ID", "TERM", "x"]] {
        assert_eq!(bundle.runtime(args).code, 1, "{args:?}");
    }
    bundle.succeed(&["update", "--memory", "", "--cpu-share", "", "ID"]);
    bundle.succeed(&["events", "--stats", "--interval", "1m30s", "ID"]);
    let absent = bundle.runtime(&["run", "--bundle", "/nosuch", "other"]);
    assert!(absent.err.contains("/nosuch/config.json: no such file or directory"), "{absent:?}");
}
