//! What a container shares with others: user namespaces, mounts, network devices, cgroups.

use crate::bundle::Bundle;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;

fn maps(host: u32) -> Value {
    json!([{"containerID": 0, "hostID": host, "size": 65536}])
}

/// Gives a bundle a user namespace: a new one, or that of a process.
fn set_user_namespace(bundle: &mut Bundle, path: Option<&str>) {
    let namespace =
        path.map_or(json!({"type": "user"}), |path| json!({"type": "user", "path": path}));
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(namespace);
    if path.is_none() {
        bundle.config["linux"]["uidMappings"] = maps(100_000);
        bundle.config["linux"]["gidMappings"] = maps(100_000);
    }
    chown(bundle.rootfs(), Some(100_000), Some(100_000)).unwrap();
}

fn pid(bundle: &Bundle) -> i64 {
    let state: Value = serde_json::from_str(&bundle.succeed(&["state", "ID"])).unwrap();
    state["pid"].as_i64().unwrap()
}

fn succeed(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_user_namespace_is_joined_and_the_new_namespaces_belong_to_it() {
    let mut first = Bundle::program(&["sleep", "1000"]);
    set_user_namespace(&mut first, None);
    first.succeed(&["run", "--detach", "ID"]);
    let path = format!("/proc/{}/ns/user", pid(&first));
    let namespace = std::fs::read_link(&path).unwrap();

    // Mounting procfs and sysfs takes rights over the new pid and network namespaces.
    let mut second = Bundle::program(&["sleep", "1000"]);
    set_user_namespace(&mut second, Some(&path));
    second.succeed(&["run", "--detach", "ID"]);
    let inside = |args: &[&str]| second.succeed(&[&["exec", "ID"], args].concat());
    assert_eq!(inside(&["readlink", "/proc/self/ns/user"]).trim(), namespace.to_str().unwrap());
    assert_eq!(inside(&["id", "-u"]), "0\n");
    assert_eq!(inside(&["hostname"]), "inside\n");
    assert!(inside(&["cat", "/proc/1/cmdline"]).starts_with("sleep"));
    second.succeed(&["delete", "--force", "ID"]);
    second.assert_nothing_is_left();

    // Its maps may be said, too, if they are said right (containerd says both).
    for (host, fits) in [(100_000, true), (200_000, false)] {
        second.config["linux"]["uidMappings"] = maps(host);
        second.config["linux"]["gidMappings"] = maps(host);
        let ended = second.runtime(&["run", "--detach", "ID"]);
        assert_eq!(ended.code == 0, fits, "{ended:?}");
        assert!(fits || ended.err.contains("non-matching mapping specified"), "{ended:?}");
        second.succeed(&["delete", "--force", "ID"]);
    }
    second.assert_nothing_is_left();
}

#[test]
fn an_id_mapped_mount_shows_and_takes_other_ids() {
    let script = "ls -ln /data | grep file; ls -ln /data/below | grep file; touch /data/made";
    let mut bundle = Bundle::script(script);
    let source = bundle.path().join("source");
    std::fs::create_dir_all(source.join("below")).unwrap();
    // A file system that can be id-mapped, whatever the test's folder is on.
    let path = source.to_str().unwrap();
    succeed("mount", &["-t", "tmpfs", "source", path]);
    std::fs::create_dir(source.join("below")).unwrap();
    succeed("mount", &["-t", "tmpfs", "below", source.join("below").to_str().unwrap()]);
    std::fs::write(source.join("file"), "").unwrap();
    std::fs::write(source.join("below/file"), "").unwrap();
    let mut outcomes = Vec::new();
    for options in [json!(["rbind", "idmap"]), json!(["rbind", "ridmap"])] {
        bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 2000});
        bundle.config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/data", "source": path, "options": options,
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": 2000, "size": 1}],
        }));
        let ended = bundle.runtime(&["run", "ID"]);
        let owners: Vec<String> = ended
            .out
            .lines()
            .map(|line| line.split_whitespace().skip(2).take(2).collect::<Vec<_>>().join(":"))
            .collect();
        let made = source.join("made").metadata().map(|made| (made.uid(), made.gid())).ok();
        outcomes.push((ended.code, owners, made));
        bundle.config["mounts"].as_array_mut().unwrap().pop();
    }
    // And with the container's own ids.
    let mut mapped = Bundle::script("ls -ln /data | grep file");
    set_user_namespace(&mut mapped, None);
    mapped.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/data", "source": path, "options": ["bind", "idmap"]}));
    let own = mapped.runtime(&["run", "ID"]);
    succeed("umount", &["-l", path]);
    let own_ids = |plain: &str| vec!["1000:2000".to_owned(), plain.to_owned()];
    assert_eq!(outcomes[0], (0, own_ids("0:0"), Some((0, 0))));
    assert_eq!(outcomes[1], (0, own_ids("1000:2000"), Some((0, 0))));
    let words: Vec<&str> = own.out.split_whitespace().skip(2).take(2).collect();
    assert_eq!(words, ["0", "0"], "{own:?}");
    bundle.assert_nothing_is_left();
}

#[test]
fn id_mapped_mounts_are_binds_with_maps() {
    let mut bundle = Bundle::script("true");
    for (mount, text) in [
        (
            json!({"destination": "/x", "type": "tmpfs", "options": ["idmap"]}),
            "only supported for bind",
        ),
        (
            json!({"destination": "/x", "source": "/etc", "options": ["bind", "idmap"]}),
            "must have both",
        ),
    ] {
        bundle.config["mounts"].as_array_mut().unwrap().push(mount);
        let ended = bundle.runtime(&["run", "ID"]);
        assert!(ended.err.contains(text), "{ended:?}");
        bundle.config["mounts"].as_array_mut().unwrap().pop();
    }
    bundle.assert_nothing_is_left();
}

#[test]
fn a_bind_source_need_not_be_reachable_for_the_root_of_a_user_namespace() {
    use std::os::unix::fs::PermissionsExt;
    let mut bundle = Bundle::script("cat /data/file");
    set_user_namespace(&mut bundle, None);
    let source = bundle.path().join("private/source");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("file"), "content\n").unwrap();
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(bundle.path().join("private"), private).unwrap();
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/data", "source": source, "options": ["rbind", "rprivate"]}));
    assert_eq!(bundle.run(), "content\n");
    bundle.assert_nothing_is_left();
}

#[test]
fn mounts_made_inside_a_shared_mount_are_seen_outside_and_no_others() {
    let mut bundle =
        Bundle::script("mkdir -p /data/in && mount -t tmpfs in /data/in && touch /data/in/x");
    std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin/mount")).unwrap();
    let admin = json!(["CAP_SYS_ADMIN"]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = admin.clone();
    }
    let source = bundle.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let path = source.to_str().unwrap();
    succeed("mount", &["-t", "tmpfs", "source", path]);
    succeed("mount", &["--make-shared", path]);
    bundle.config["linux"]["rootfsPropagation"] = json!("shared");
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/data", "source": path, "options": ["rbind", "rshared"]}));
    let ended = bundle.runtime(&["run", "ID"]);
    let is_seen = source.join("in/x").exists();
    bundle.config["linux"]["rootfsPropagation"] = json!("rslave");
    let slave = bundle.runtime(&["run", "ID"]);
    let is_seen_twice =
        std::fs::read_to_string("/proc/self/mountinfo").unwrap().matches(path).count();
    succeed("umount", &["-l", path]);
    assert!(is_seen, "{ended:?}");
    assert_eq!((slave.code, is_seen_twice), (0, 2), "{slave:?}");
    bundle.assert_nothing_is_left();
}

#[test]
fn a_network_device_moves_in_with_its_addresses_under_its_new_name() {
    let mut bundle =
        Bundle::script("ip address show dev inner; cat /proc/sys/net/ipv4/conf/inner/forwarding");
    let name = format!("gt{}", std::process::id());
    let peer = format!("{name}p");
    succeed("ip", &["link", "add", &name, "type", "veth", "peer", "name", &peer]);
    succeed("ip", &["address", "add", "192.0.2.9/24", "dev", &name]);
    succeed("ip", &["address", "add", "2001:db8::9/64", "nodad", "dev", &name]);
    succeed("ip", &["link", "set", &name, "up"]);
    // What cannot move stays as it was.
    bundle.config["linux"]["netDevices"] = json!({&name: {"name": "lo"}});
    let taken = bundle.runtime(&["run", "ID"]);
    assert!(taken.err.contains("there is a lo in the container already"), "{taken:?}");
    let outside = succeed("ip", &["address", "show", "dev", &name]);
    for part in ["192.0.2.9/24", "2001:db8::9/64", ",UP"] {
        assert!(outside.contains(part), "{part} is not in {outside}");
    }
    bundle.config["linux"]["netDevices"] = json!({&name: {"name": "inner"}});
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.conf.inner.forwarding": "1"});
    let ended = bundle.runtime(&["run", "ID"]);
    for part in ["192.0.2.9/24", "2001:db8::9/64", "UP", "\n1\n"] {
        assert!(ended.out.contains(part), "{part} is not in {ended:?}");
    }
    assert!(!std::path::Path::new("/sys/class/net").join(&name).exists());
    let again = bundle.runtime(&["run", "ID"]);
    assert!(
        again.err.contains(&format!("move network device {name} into the container")),
        "{again:?}"
    );
    bundle.config["linux"]["netDevices"] = json!({"a/b": {}});
    assert!(bundle.runtime(&["run", "ID"]).err.contains("invalid network device name"));
    bundle.config["linux"]["netDevices"] = json!({"lo": {}});
    bundle.config["linux"]["sysctl"] = json!({});
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "network");
    assert!(bundle.runtime(&["run", "ID"]).err.contains("without a NET namespace"));
    bundle.assert_nothing_is_left();
}

#[test]
fn a_path_to_the_hosts_own_namespace_gives_no_right_to_change_it() {
    let mut bundle = Bundle::script("true");
    bundle.config["linux"]["namespaces"][1] =
        json!({"type": "network", "path": "/proc/self/ns/net"});
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    assert!(bundle.runtime(&["run", "ID"]).err.contains("not in a separate kernel namespace"));
    bundle.config["linux"]["sysctl"] = json!({});
    bundle.config["linux"]["namespaces"][2] = json!({"type": "uts", "path": "/proc/self/ns/uts"});
    assert!(bundle.runtime(&["run", "ID"]).err.contains("private UTS namespace"));
    bundle.assert_nothing_is_left();
}

#[test]
fn a_cgroup_with_processes_is_refused_and_left_alone() {
    let first = Bundle::program(&["sleep", "1000"]);
    first.succeed(&["run", "--detach", "ID"]);
    let mut second = Bundle::program(&["true"]);
    second.config["linux"]["cgroupsPath"] = first.config["linux"]["cgroupsPath"].clone();
    let ended = second.runtime(&["create", "ID"]);
    assert!(
        ended.err.contains("container's cgroup is not empty: 1 process(es) found"),
        "{ended:?}"
    );
    assert_eq!(first.status(), "running");
    assert!(!first.cgroups().is_empty());
    second.assert_nothing_is_left();
}

#[test]
fn a_failed_create_leaves_the_cgroup_that_was_there_before() {
    let mut bundle = Bundle::program(&["true"]);
    bundle.succeed(&["create", "ID"]);
    let folders = bundle.cgroups();
    bundle.succeed(&["delete", "ID"]);
    for folder in &folders {
        std::fs::create_dir_all(folder).unwrap();
    }
    bundle.config["process"]["args"] = json!(["nosuch"]);
    assert_eq!(bundle.runtime(&["create", "ID"]).code, 1);
    assert_eq!(bundle.cgroups(), folders);
    bundle.config["process"]["args"] = json!(["true"]);
    bundle.run();
    bundle.assert_nothing_is_left();
}

#[test]
fn intel_rdt_is_refused_where_the_machine_has_none() {
    if std::path::Path::new("/sys/fs/resctrl").exists() {
        return;
    }
    let mut bundle = Bundle::script("true");
    bundle.config["linux"]["intelRdt"] = json!({"l3CacheSchema": "L3:0=f"});
    let ended = bundle.runtime(&["run", "ID"]);
    let text = "intelRdt is specified in config, but Intel RDT is not enabled";
    assert!(ended.err.contains(text), "{ended:?}");
    bundle.assert_nothing_is_left();
}
