//! Containers of an ordinary user: with their own id alone, and with ranges of subordinate ids.

use crate::bundle::{Bundle, Ended, program};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user, whom only the tests' own passwd file knows.
const USER: u32 = 4242;
/// The first of their subordinate ids, of which they have 65536.
const RANGE: u32 = 200_000;
/// Becomes the user; `$0` is the bundle's folder. What goes before is done by root, in a mount
/// namespace of its own.
const BECOME: &str = "exec setpriv --reuid 4242 --regid 4242 --clear-groups \"$@\"";
const NAMED: &str = "mount --bind $0/etc/passwd /etc/passwd";
const NAMED_WITH_RANGES: &str =
    "for file in passwd subuid subgid; do mount --bind $0/etc/$file /etc/$file; done";

/// A bundle of the user's, and what root does before the user calls the runtime.
fn users(mut bundle: Bundle, before: &str) -> Bundle {
    let folder = bundle.path().to_owned();
    let (runtime, etc) = (folder.join("runtime"), folder.join("etc"));
    // Where it was built the user may not go.
    fs::copy(program(), &runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(&etc).unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = format!("somebody:x:{USER}:{USER}::/:/bin/sh\n");
    fs::write(etc.join("passwd"), passwd + &line).unwrap();
    for file in ["subuid", "subgid"] {
        fs::write(etc.join(file), format!("somebody:{RANGE}:65536\n")).unwrap();
    }
    let chown = Command::new("chown").arg("-R").arg(format!("{USER}:{USER}")).arg(&folder).status();
    assert!(chown.unwrap().success());
    let script = format!("set -e; {before}\n{BECOME}");
    let words = ["unshare", "--mount", "sh", "-c", &script];
    bundle.caller = words.map(str::to_owned).to_vec();
    bundle.caller.extend([folder, runtime].map(|path| path.display().to_string()));
    let example: Value =
        serde_json::from_str(&as_user(&bundle, &["spec", "--rootless"], "config.json")).unwrap();
    for part in ["mounts", "linux"] {
        bundle.config[part] = example[part].clone();
    }
    bundle
}

/// Runs a command in a new folder of the user's; the file that it makes there.
fn as_user(bundle: &Bundle, args: &[&str], file: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(USER), Some(USER)).unwrap();
    let status = bundle.command(args).current_dir(folder.path()).status().unwrap();
    assert!(status.success(), "{args:?}");
    fs::read_to_string(folder.path().join(file)).unwrap()
}

/// Maps the user's own id and their range after it.
fn map_range(bundle: &mut Bundle) {
    let map = json!([
        {"containerID": 0, "hostID": USER, "size": 1},
        {"containerID": 1, "hostID": RANGE, "size": 65536},
    ]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
}

fn assert_refused(bundle: &Bundle, words: &str) {
    let ended = bundle.runtime(&["run", "ID"]);
    assert!(ended.code != 0 && ended.err.contains(words), "not {words:?}: {ended:?}");
    bundle.assert_nothing_is_left();
}

#[test]
fn a_rootless_example_runs_as_it_is_below_the_users_runtime_folder() {
    let bundle = users(Bundle::script("id -u; cat /proc/self/uid_map; touch /x && echo made"), "");
    let runtime_folder = bundle.path().join("run");
    fs::create_dir(&runtime_folder).unwrap();
    std::os::unix::fs::chown(&runtime_folder, Some(USER), Some(USER)).unwrap();
    bundle.runtime(&["list"]);
    let in_folder = |args: &[&str]| {
        let (first, rest) = bundle.caller.split_first().unwrap();
        let mut command = Command::new(first);
        command.args(rest).args(args).env("XDG_RUNTIME_DIR", &runtime_folder);
        let output = command.current_dir(bundle.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let words = in_folder(&["run", &bundle.id]);
    let words: Vec<&str> = words.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "4242", "1", "made"]);
    let root = runtime_folder.join("gantry-runtime");
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o7777, 0o1700);
    assert_eq!(in_folder(&["list", "--quiet"]), "");
}

#[test]
fn an_ordinary_users_container_lives_its_whole_life() {
    let mut bundle = users(Bundle::program(&["sleep", "1000"]), NAMED);
    bundle.succeed(&["create", "ID"]);
    assert_eq!(bundle.status(), "created");
    let early = bundle.runtime(&["exec", "ID", "true"]);
    assert!(early.err.contains("has not been started"), "{early:?}");
    bundle.succeed(&["start", "ID"]);
    assert!(bundle.succeed(&["list"]).contains(" somebody\n"));
    let state: Value = serde_json::from_str(&bundle.succeed(&["state", "ID"])).unwrap();
    // Without a cgroup the pid namespace tells who is in the container.
    assert_eq!(
        bundle.succeed(&["ps", "--format", "json", "ID"]).trim(),
        format!("[{}]", state["pid"])
    );
    let exec = |args: &[&str]| bundle.runtime(&[&["exec", "ID"], args].concat());
    assert_eq!(exec(&["sh", "-c", "id -u; hostname; exit 7"]).code, 7);
    let status = |process: &str| exec(&["grep", "-E", "Cap|NoNew|Groups", process]).out;
    assert_eq!(status("/proc/self/status"), status("/proc/1/status"));
    assert_eq!(
        exec(&["readlink", "/proc/self/ns/user"]).out,
        exec(&["readlink", "/proc/1/ns/user"]).out
    );
    for (command, words) in [
        (&["pause", "ID"][..], "this container has no cgroup"),
        (&["resume", "ID"], "container not paused"),
        (&["update", "--pids-limit", "5", "ID"], "cannot limit pids"),
        (&["events", "--stats", "ID"], "this container has no cgroup"),
    ] {
        let Ended { code, err, .. } = bundle.runtime(command);
        assert!(code == 1 && err.contains(words), "{command:?}: {err}");
    }
    bundle.succeed(&["kill", "--all", "ID", "KILL"]);
    bundle.wait_for_status("stopped");
    bundle.succeed(&["delete", "ID"]);
    bundle.config["process"]["args"] = json!(["nosuch"]);
    assert_refused(&bundle, "executable file not found in $PATH");
}

#[test]
fn subordinate_ids_are_mapped_by_the_programs_that_may() {
    let mut bundle = users(Bundle::script("id; touch /tmp/x; sleep 1000"), NAMED_WITH_RANGES);
    map_range(&mut bundle);
    bundle.config["process"]["user"] = json!({"uid": 7, "gid": 8, "additionalGids": [9]});
    fs::set_permissions(bundle.rootfs().join("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
    bundle.succeed(&["run", "--detach", "ID"]);
    assert_eq!(bundle.succeed(&["exec", "ID", "id"]), "uid=7 gid=8 groups=9\n");
    assert_eq!(bundle.succeed(&["exec", "--user", "0:0", "ID", "id", "-u"]), "0\n");
    let made = bundle.rootfs().join("tmp/x");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(made.metadata().unwrap().uid(), RANGE + 6);
    bundle.succeed(&["delete", "--force", "ID"]);
    bundle.assert_nothing_is_left();

    bundle.config["process"] = json!({"args": ["true"], "cwd": "/", "env": ["PATH=/bin"]});
    bundle.config["linux"]["uidMappings"][1]["hostID"] = json!(300_000);
    assert_refused(&bundle, "newuidmap: uid range [1-65537) -> [300000-365536) not allowed");
    bundle.config["linux"]["uidMappings"][1]["hostID"] = json!(RANGE);
    bundle.config["linux"]["gidMappings"][1]["hostID"] = json!(300_000);
    assert_refused(&bundle, "newgidmap: gid range");
    let runtime = bundle.caller.pop().unwrap();
    bundle.caller.extend(["env", "PATH=/nowhere", &runtime].map(str::to_owned));
    assert_refused(&bundle, "newuidmap: there is no such program in PATH");
}

#[test]
fn what_an_ordinary_user_may_not_have_is_refused_in_words() {
    let limits = json!({"pids": {"limit": 10}});
    let cases: [(&str, Value, &str); 10] = [
        ("/linux/resources", limits, "cannot limit pids: there is no cgroup controller for it"),
        ("/linux/cgroupsPath", json!("/gantry-not-mine"), "gantry-not-mine: permission denied"),
        ("/process/oomScoreAdj", json!(-500), "set oom_score_adj to -500 (only root may go below"),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "hard": 99_999_999, "soft": 5}]),
            "set rlimit RLIMIT_NOFILE: operation not permitted",
        ),
        ("/process/user/uid", json!(5), "user 5 of the process is not mapped"),
        ("/process/user/additionalGids", json!([0]), "cannot set any additional groups"),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "uts"}]),
            "requires user namespaces",
        ),
        ("/linux/uidMappings", json!([]), "requires at least one UID mapping"),
        ("/mounts/1/options", json!(["gid=5"]), "cannot specify gid=5 mount option"),
        (
            "/mounts/1",
            json!({"destination": "/x", "source": "/", "options": ["bind", "idmap"]}),
            "mapped ids, which only root may make",
        ),
    ];
    for (place, value, words) in cases {
        let mut bundle = users(Bundle::program(&["true"]), "");
        let (parent, name) = place.rsplit_once('/').unwrap();
        match bundle.config.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
            parent => parent[name] = value,
        }
        assert_refused(&bundle, words);
    }
}

#[test]
fn what_an_ordinary_user_may_have_is_given() {
    let script = "cat /proc/self/oom_score_adj; cut -d. -f1 /proc/uptime >/dev/null; \
                  test -c /dev/null && echo device; cat /proc/kcore | head -c 1; \
                  echo x 2>/dev/null >/proc/sys/kernel/domainname || echo readonly; \
                  mkdir /tmp/x 2>/dev/null || echo filtered; ls /sys/class/net; \
                  cat /proc/sys/net/ipv4/ip_forward; grep boottime /proc/self/timens_offsets";
    let mut bundle = users(Bundle::script(script), "");
    std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin/cut")).unwrap();
    std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin/head")).unwrap();
    bundle.config["process"]["oomScoreAdj"] = json!(900);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.extend([json!({"type": "network"}), json!({"type": "time"})]);
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000}});
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    });
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["destination"] == "/sys" {
            *mount = json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"]});
        }
    }
    let out = bundle.run();
    let words: Vec<&str> = out.split_whitespace().collect();
    let expected = ["900", "device", "readonly", "filtered", "lo", "1", "boottime", "1000000", "0"];
    assert_eq!(words, expected);
    bundle.assert_nothing_is_left();
}

#[test]
fn mount_flags_that_root_set_stay() {
    let mount = "mount -t tmpfs -o ro,nosuid,nodev,noexec,noatime locked $0/locked";
    let mut bundle = Bundle::script("grep ' /x ' /proc/self/mountinfo");
    fs::create_dir(bundle.path().join("locked")).unwrap();
    bundle = users(bundle, mount);
    let source = bundle.path().join("locked");
    let index = bundle.config["mounts"].as_array().unwrap().len();
    for options in [&["rbind"][..], &["bind", "ro"], &["bind", "nosuid", "noatime"]] {
        bundle.config["mounts"][index - 1] =
            json!({"destination": "/x", "source": source, "options": options});
        let out = bundle.run();
        assert!(out.contains(" ro,nosuid,nodev,noexec,noatime "), "{options:?}: {out}");
    }
    for option in ["rw", "suid", "dev", "exec", "strictatime", "relatime"] {
        bundle.config["mounts"][index - 1] =
            json!({"destination": "/x", "source": source, "options": ["bind", option]});
        assert_refused(&bundle, "(it is locked");
    }
}

/// Cgroups that root made over to the user; they go with the value.
struct Delegated(Vec<PathBuf>);

impl Delegated {
    fn new(name: &str) -> Self {
        let hierarchies: &[&str] = if is_unified() {
            for controller in ["+memory", "+pids"] {
                fs::write("/sys/fs/cgroup/cgroup.subtree_control", controller).unwrap();
            }
            &["."]
        } else {
            &["memory", "pids", "freezer", "unified"]
        };
        let mut made = Vec::new();
        for hierarchy in hierarchies.iter().map(|name| Path::new("/sys/fs/cgroup").join(name)) {
            if !hierarchy.is_dir() {
                continue;
            }
            let group = hierarchy.join(name);
            fs::create_dir(&group).unwrap();
            fs::create_dir(group.join("own")).unwrap();
            made.push(group);
        }
        let delegated = Self(made);
        let mut chown = Command::new("chown");
        chown.arg("-R").arg(format!("{USER}:{USER}")).args(&delegated.0);
        assert!(chown.status().unwrap().success());
        delegated
    }

    /// A shell command that puts the caller in.
    fn enter(&self) -> String {
        let procs = |group: &PathBuf| format!("echo $$ >{}/own/cgroup.procs; ", group.display());
        self.0.iter().map(procs).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for group in &self.0 {
            let _ = fs::remove_dir(group.join("own"));
            let _ = fs::remove_dir(group);
        }
    }
}

fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.procs").exists()
}

#[test]
fn cgroups_that_are_the_users_own_are_used() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    let name = format!("gantry-delegated-{}", bundle.id);
    let delegated = Delegated::new(&name);
    let mut bundle = users(bundle, &delegated.enter());
    bundle.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 20},
               "devices": [{"allow": false, "access": "rwm"}]});
    // Cgroup v2 has no controllers where processes are, so beside the caller's own group there.
    let below = if is_unified() { bundle.id.clone() } else { format!("own/{}", bundle.id) };
    if is_unified() {
        bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}/{below}"));
    }
    bundle.succeed(&["run", "--detach", "ID"]);
    let state: Value = serde_json::from_str(&bundle.succeed(&["state", "ID"])).unwrap();
    for group in &delegated.0 {
        let procs = fs::read_to_string(group.join(&below).join("cgroup.procs")).unwrap();
        assert_eq!(procs.trim(), state["pid"].to_string(), "{}", group.display());
    }
    let stats = || -> Value {
        serde_json::from_str(&bundle.succeed(&["events", "--stats", "ID"])).unwrap()
    };
    assert_eq!(stats()["data"]["pids"], json!({"current": 1, "limit": 20}));
    assert_eq!(stats()["data"]["memory"]["usage"]["limit"], 64 << 20);
    bundle.succeed(&["update", "--pids-limit", "10", "ID"]);
    assert_eq!(stats()["data"]["pids"]["limit"], 10);
    bundle.succeed(&["exec", "ID", "true"]);
    bundle.succeed(&["pause", "ID"]);
    assert_eq!(bundle.status(), "paused");
    bundle.succeed(&["resume", "ID"]);
    bundle.succeed(&["delete", "--force", "ID"]);
    for group in &delegated.0 {
        assert!(!group.join(&below).exists(), "{}", group.display());
    }
}

#[test]
fn a_moved_root_leaves_no_procfs_that_an_ordinary_user_could_not_take_away() {
    let script = "unshare -Urmpf mount -t proc proc /tmp && echo a whole procfs; echo done";
    // Two on top of each other.
    let before = format!("{NAMED_WITH_RANGES}; mount -t proc proc /proc");
    let mut bundle = Bundle::script(script);
    for applet in ["unshare", "mount"] {
        std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin").join(applet)).unwrap();
    }
    bundle = users(bundle, &before);
    map_range(&mut bundle);
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    for flags in [&[][..], &["--no-pivot"]] {
        let ended = bundle.runtime(&[&["run"], flags, &["ID"]].concat());
        assert_eq!(ended.out, "done\n", "{flags:?}: {ended:?}");
    }
    bundle.assert_nothing_is_left();
}
