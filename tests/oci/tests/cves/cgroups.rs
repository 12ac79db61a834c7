//! Cgroups and devices, and the configuration's sizes.

use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests_harness::wait;
use tests_oci::bundle::{Bundle, runtime};

/// GHSA-g54h-m393-cpwq: no list of rules makes everything allowed but what it names. Here on cgroup
/// v1; `tests/vm` looks at the program of cgroup v2.
#[test]
fn devices_that_no_rule_allows_cannot_be_opened() {
    let disk = fs::metadata("/").unwrap().dev();
    let (major, minor) = (rustix::fs::major(disk), rustix::fs::minor(disk));
    let allow = |kind: &str, major: u32, minor: u32| json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": "rwm"});
    let nothing = json!({"allow": false, "access": "rwm"});
    let cases = [
        json!(null),
        json!([]),
        json!([nothing]),
        json!([allow("c", 1, 5)]),
        json!([nothing, allow("c", 1, 5)]),
        json!([allow("c", 1, 5), nothing]),
        json!([nothing, {"allow": false, "type": "b", "major": major, "access": "r"}]),
    ];
    for devices in cases {
        let mut bundle = Bundle::script(&format!(
            "mknod /tmp/mem c 1 1; mknod /tmp/disk b {major} {minor}
             for device in mem disk; do
                dd if=/tmp/$device of=/dev/null bs=1 count=1 2>&1 | grep -c 'Operation not permitted'
             done"
        ));
        bundle.config["linux"]["resources"] = json!({"devices": devices});
        let ended = bundle.run();
        assert_eq!(ended.out, "1\n1\n", "{devices}: {ended:?}");
    }
}

/// CVE-2023-25809: a read-only mount of the cgroups is read-only, without a cgroup namespace and in
/// a user namespace too.
#[test]
fn cgroups_that_are_shown_read_only_cannot_be_written() {
    for (own_cgroup_namespace, own_user_namespace) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let mut bundle = Bundle::script(
            "for folder in /sys/fs/cgroup/*/; do
                (echo 0 >$folder/cgroup.procs) 2>/dev/null && echo joined $folder
                mkdir $folder/more 2>/dev/null && echo made $folder/more
             done; ls /sys/fs/cgroup | grep -c .",
        );
        bundle.add_mount("/sys/fs/cgroup", "cgroup", Path::new("cgroup"), &["ro", "nosuid"]);
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        if own_cgroup_namespace {
            namespaces.push(json!({"type": "cgroup"}));
        }
        if own_user_namespace {
            namespaces.push(json!({"type": "user"}));
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
            bundle.config["linux"]["uidMappings"] = map.clone();
            bundle.config["linux"]["gidMappings"] = map;
        }
        let ended = bundle.run();
        let what = format!("{own_cgroup_namespace} {own_user_namespace}: {ended:?}");
        let count: usize = ended.out.trim_end().parse().unwrap_or_else(|_| panic!("{what}"));
        assert!(count > 0, "{what}");
    }
}

/// CVE-2023-25809, as an ordinary user: whose cgroups are the user's own must not be writable through
/// a bind mount of `/sys`, whether the runtime is called outside of a user namespace or, as rootless
/// engines do, inside of one.
#[test]
fn an_ordinary_users_cgroups_cannot_be_written_from_inside() {
    let name = format!("gantry-replay-delegated-{}", std::process::id());
    let group = Path::new("/sys/fs/cgroup/pids").join(name);
    fs::create_dir_all(group.join("sibling")).unwrap();
    let mut all = Vec::new();
    for (enter_user_namespace, namespace) in
        [("", json!({"type": "user"})), ("unshare --user --map-root-user --mount", json!(null))]
    {
        let mut bundle = Bundle::script(
            "for file in $(find /sys -name cgroup.procs); do
                (echo 0 >$file) 2>/dev/null && echo joined $file
             done; mkdir /sys/fs/cgroup/pids/more 2>/dev/null; echo $?",
        );
        let sys = bundle.config["mounts"].as_array_mut().unwrap();
        sys.retain(|mount| mount["destination"] != "/sys");
        bundle.add_mount("/sys", "none", Path::new("/sys"), &["rbind", "nosuid", "noexec", "ro"]);
        bundle.add_mount("/sys/fs/cgroup", "cgroup", Path::new("cgroup"), &["ro", "nosuid"]);
        let linux = &mut bundle.config["linux"];
        linux.as_object_mut().unwrap().remove("cgroupsPath");
        let own_only = json!([{"containerID": 0, "hostID": 4242, "size": 1}]);
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        if !namespace.is_null() {
            namespaces.push(namespace);
            linux["uidMappings"] = own_only.clone();
            linux["gidMappings"] = own_only;
        }
        // Where it was built that user may not go.
        let program = bundle.path().join("runtime");
        fs::copy(runtime(), &program).unwrap();
        let run = bundle.command(&program, &["run", "ID"]);
        let script = format!(
            "chown -R 4242:4242 {} .; echo $$ >{}/cgroup.procs
             exec setpriv --reuid 4242 --regid 4242 --clear-groups {enter_user_namespace} \"$@\"",
            group.display(),
            group.display(),
        );
        let mut caller = Command::new("sh");
        caller.args(["-c", &script, "sh"]).arg(run.get_program()).args(run.get_args());
        caller.current_dir(bundle.path());
        let ended = bundle.end_of(caller);
        all.push(ended);
    }
    // The kernel takes a moment to see that nobody is in them.
    for folder in [group.join("sibling"), group] {
        wait::until("the cgroup to be removed", Duration::from_secs(60), || {
            fs::remove_dir(&folder).map_err(|error| error.to_string())
        });
    }
    for ended in all {
        assert_eq!(ended.out, "1\n", "{ended:?}");
    }
}

/// CVE-2021-43784: the length of one part of a configuration changes nothing about another.
#[test]
fn a_configuration_with_very_long_parts_means_what_it_says() {
    // 16 bits hold less.
    let long = "x".repeat(70_000);
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["annotations"] = json!({"long": long});
    bundle.config["process"]["env"] = json!(["PATH=/bin", format!("LONG={long}")]);
    bundle.config["process"]["args"] = json!(["sleep", "1000", "0".repeat(70_000)]);
    for index in 0..600 {
        bundle.add_mount(
            &format!("/many/{index}{}", "y".repeat(100)),
            "tmpfs",
            Path::new("x"),
            &[],
        );
    }
    bundle.succeed(&["run", "--detach", "ID"]);
    let init = bundle.pid().to_string();
    for namespace in ["mnt", "net", "uts", "pid", "ipc"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        assert_ne!(of(&init), of("self"), "{namespace}");
    }
    let mut bundle = Bundle::script("true");
    let path = format!("/proc/self/ns/{}net", "./".repeat(35_000));
    bundle.config["linux"]["namespaces"][1] = json!({"type": "network", "path": path});
    assert_ne!(bundle.run().code, 0);
}
