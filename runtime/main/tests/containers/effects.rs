//! What of a configuration is to be seen from inside.

use crate::bundle::Bundle;
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn limits_of_processes_arrive() {
    let mut bundle = Bundle::program(&["cat", "/proc/self/limits"]);
    bundle.config["process"]["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 4096},
        {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 2 << 20},
    ]);
    let assert_limited = |out: &str| {
        for (name, soft, hard) in [
            ("Max open files", "100", "200"),
            ("Max core file size", "0", "4096"),
            ("Max stack size", "1048576", "2097152"),
        ] {
            let line = out.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let values: Vec<&str> = line.split_whitespace().take(2).collect();
            assert_eq!(values, [soft, hard], "{name}");
        }
    };
    assert_limited(&bundle.run());
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    assert_limited(&bundle.succeed(&["exec", "ID", "cat", "/proc/self/limits"]));
}

#[test]
fn devices_have_their_permissions_and_owners_and_take_the_place_of_nothing_else() {
    let mut bundle = Bundle::script("ls -ln /dev/mine /dev/pipe /dev/plain");
    let mine = json!({"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640,
        "uid": 7, "gid": 8});
    let plain = json!({"path": "/dev/plain", "type": "u", "major": 1, "minor": 5});
    let pipe = json!({"path": "/dev/pipe", "type": "p", "fileMode": 0o600});
    bundle.config["linux"]["devices"] = json!([mine, plain, pipe]);
    let out = bundle.run();
    let seen: Vec<Vec<&str>> =
        out.lines().map(|line| line.split_whitespace().take(6).collect()).collect();
    assert_eq!(seen[0], ["crw-r-----", "1", "7", "8", "1,", "3"], "{out}");
    assert_eq!(seen[1][..4], ["prw-------", "1", "0", "0"], "{out}");
    assert_eq!(seen[2], ["crw-rw-rw-", "1", "0", "0", "1,", "5"], "{out}");
    // In the place of a file that is something else, and of itself.
    for (name, fits) in [("file", false), ("device", true)] {
        let place = bundle.rootfs().join("tmp").join(name);
        if fits {
            use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, &place, FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
        } else {
            std::fs::write(&place, "").unwrap();
        }
        bundle.config["linux"]["devices"] =
            json!([{"path": format!("/tmp/{name}"), "type": "c", "major": 1, "minor": 3}]);
        bundle.config["process"]["args"] = json!(["test", "-e", format!("/tmp/{name}")]);
        let ended = bundle.runtime(&["run", "ID"]);
        assert_eq!(ended.code == 0, fits, "{ended:?}");
        assert!(fits || ended.err.contains("make device /tmp/file: file exists"), "{ended:?}");
    }
    bundle.assert_nothing_is_left();
}

#[test]
fn a_namespace_of_another_type_is_refused() {
    let mut bundle = Bundle::program(&["true"]);
    bundle.config["linux"]["namespaces"][1] =
        json!({"type": "network", "path": "/proc/self/ns/uts"});
    let ended = bundle.runtime(&["run", "ID"]);
    // The kernel's word is what there is in common with runc.
    assert!(ended.code == 1 && ended.err.to_lowercase().contains("invalid argument"), "{ended:?}");
    bundle.assert_nothing_is_left();
}

#[test]
fn offsets_are_refused_for_clocks_of_somebody_else() {
    let mut bundle = Bundle::program(&["true"]);
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 5}});
    bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "time", "path": "/proc/self/ns/time"}));
    let text = "time namespace enabled, but both namespace path and time offsets specified -- you \
                may only provide one";
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.code == 1 && ended.err.contains(text), "{ended:?}");
    // The same with a namespace that is not the runtime's.
    let mut other = Bundle::program(&["sleep", "1000"]);
    let namespaces = other.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "time"}));
    other.succeed(&["run", "--detach", "ID"]);
    let state: Value = serde_json::from_str(&other.succeed(&["state", "ID"])).unwrap();
    bundle.config["linux"]["namespaces"][5]["path"] =
        json!(format!("/proc/{}/ns/time", state["pid"]));
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.code == 1 && ended.err.contains(text), "{ended:?}");
    bundle.assert_nothing_is_left();
}

#[test]
fn parameters_of_users_belong_to_a_user_namespace() {
    let name = "user.max_net_namespaces";
    let mut bundle = Bundle::script("cat /proc/sys/user/max_net_namespaces");
    bundle.config["linux"]["sysctl"] = json!({name: "77"});
    assert_eq!(bundle.runtime(&["run", "ID"]).code, 1);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    for maps in ["uidMappings", "gidMappings"] {
        bundle.config["linux"][maps] =
            json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    }
    std::os::unix::fs::chown(bundle.rootfs(), Some(100_000), Some(100_000)).unwrap();
    let host = || std::fs::read_to_string("/proc/sys/user/max_net_namespaces").unwrap();
    let before = host();
    assert_eq!(bundle.run(), "77\n");
    assert_eq!(host(), before);
    bundle.assert_nothing_is_left();
}

#[test]
fn every_flag_of_filters_that_is_told_of_is_taken() {
    let features: Value =
        serde_json::from_str(&Bundle::script("true").succeed(&["features"])).unwrap();
    let flags = &features["linux"]["seccomp"]["supportedFlags"];
    let mut bundle = Bundle::script("grep Seccomp: /proc/self/status");
    for flag in flags.as_array().unwrap() {
        bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag], "syscalls": [
                {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]});
        assert_eq!(bundle.run(), "Seccomp:\t2\n", "{flag}");
    }
}

/// The line of a mount inside: its options, its tags, and its file system's options.
fn mounted<'a>(out: &'a str, place: &str) -> &'a str {
    out.lines().find(|line| line.split(' ').nth(4) == Some(place)).unwrap_or(out)
}

#[test]
fn options_of_file_systems_are_in_force() {
    let mut bundle = Bundle::program(&["cat", "/proc/self/mountinfo"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    for option in ["sync", "dirsync", "lazytime", "async"] {
        mounts.push(json!({"destination": format!("/{option}"), "type": "tmpfs",
            "source": "tmpfs", "options": [option]}));
    }
    let out = bundle.run();
    for option in ["sync", "dirsync", "lazytime"] {
        let line = mounted(&out, &format!("/{option}"));
        let (_, super_options) = line.rsplit_once(' ').unwrap();
        assert!(super_options.split(',').any(|word| word == option), "{line}");
    }
    let line = mounted(&out, "/async");
    assert!(!line.contains(",sync"), "{line}");
}

#[test]
fn mounts_have_the_propagation_that_is_asked_for_alone_or_with_those_below() {
    let mut bundle = Bundle::program(&["cat", "/proc/self/mountinfo"]);
    let source = bundle.path().join("source");
    let mount = |arguments: &[&str]| {
        assert!(Command::new("mount").args(arguments).status().unwrap().success());
    };
    for place in [source.clone(), source.join("in")] {
        std::fs::create_dir(&place).unwrap();
        mount(&["-t", "tmpfs", "source", place.to_str().unwrap()]);
    }
    mount(&["--make-rshared", source.to_str().unwrap()]);
    let kinds = [
        ("private", ""),
        ("slave", "master"),
        ("shared", "shared master"),
        ("unbindable", "unbindable"),
    ];
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    for (kind, _) in kinds {
        for (at, option) in [("one", kind.to_owned()), ("all", format!("r{kind}"))] {
            mounts.push(json!({"destination": format!("/{at}/{kind}"), "source": source,
                "options": ["rbind", option]}));
        }
    }
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(Command::new("umount").arg("-l").arg(&source).status().unwrap().success());
    let tags = |place: &str| {
        let line = mounted(&ended.out, place);
        let fields = line.split(' ').skip(6).take_while(|field| *field != "-");
        // Without the groups' numbers.
        fields.map(|field| field.split(':').next().unwrap()).collect::<Vec<_>>().join(" ")
    };
    for (kind, expected) in kinds {
        assert_eq!(tags(&format!("/one/{kind}")), expected, "{ended:?}");
        // The one below has what the runtime gives all of the host's.
        assert_eq!(tags(&format!("/one/{kind}/in")), "master", "{kind}: {ended:?}");
        assert_eq!(tags(&format!("/all/{kind}")), expected, "{ended:?}");
        assert_eq!(tags(&format!("/all/{kind}/in")), expected, "{ended:?}");
    }
    bundle.assert_nothing_is_left();
}
