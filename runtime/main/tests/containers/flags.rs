//! What the flags of commands bring about.

use crate::bundle::Bundle;
use serde_json::json;

#[test]
fn a_capability_that_programs_inherit_is_kept_by_a_further_process_without_rights() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.config["process"]["capabilities"]["inheritable"] = json!(["CAP_KILL"]);
    bundle.succeed(&["run", "--detach", "ID"]);
    let script = "grep -E 'Cap(Eff|Amb)' /proc/self/status";
    let sets = |name: &str| {
        bundle.runtime(&["exec", "--cap", name, "--user", "1000:1000", "ID", "sh", "-c", script])
    };
    let both = |bits: u64| format!("CapEff:\t{bits:016x}\nCapAmb:\t{bits:016x}\n");
    assert_eq!(sets("CAP_KILL").out, both(1 << 5));
    // Given, but not to be kept by who is not root; nobody is told that it is not there.
    let other = sets("CAP_NET_RAW");
    assert_eq!((other.out, other.err), (both(0), String::new()));
}

#[test]
fn a_value_that_is_empty_is_none() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    bundle.succeed(&["run", "--detach", "--pid-file", "", "ID"]);
    assert_eq!(bundle.succeed(&["exec", "--process", "", "ID", "hostname"]), "inside\n");
    bundle.succeed(&["update", "--resources", "", "--memory", "64M", "ID"]);
}

#[test]
fn a_root_that_is_moved_is_as_good_as_one_that_is_pivoted_to() {
    let mut bundle = Bundle::script(
        "ls /; grep -c ' - ' /proc/self/mountinfo; \
         unshare -Urmpf mount -t proc proc /tmp && echo a whole procfs; \
         unshare -Urmn mount -t sysfs sysfs /tmp && echo a whole sysfs",
    );
    for applet in ["unshare", "mount"] {
        std::os::unix::fs::symlink("busybox", bundle.rootfs().join("bin").join(applet)).unwrap();
    }
    // Root itself may make no user namespace with these capabilities.
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let pivoted = bundle.runtime(&["run", "ID"]);
    let moved = bundle.runtime(&["run", "--no-pivot", "ID"]);
    assert!(pivoted.out.starts_with("bin\ndev\netc\nproc\nsys\ntmp\n"), "{pivoted:?}");
    assert!(!pivoted.out.contains("whole"), "{pivoted:?}");
    assert_eq!(pivoted.out, moved.out, "{moved:?}");
    // Nothing is taken away on the host.
    for propagation in ["", "shared"] {
        bundle.config["linux"]["rootfsPropagation"] = json!(propagation);
        assert_eq!(bundle.runtime(&["run", "--no-pivot", "ID"]).out, pivoted.out);
        assert!(std::path::Path::new("/proc/self/status").exists());
        assert!(std::path::Path::new("/sys/class/net/lo").exists());
    }
    for propagation in ["private", "rprivate"] {
        bundle.config["linux"]["rootfsPropagation"] = json!(propagation);
        let refused = bundle.runtime(&["create", "--no-pivot", "ID"]);
        let text = "rootfsPropagation of [r]private is not safe without pivot_root";
        assert!(refused.code == 1 && refused.err.contains(text), "{refused:?}");
    }
    bundle.assert_nothing_is_left();
}

#[test]
fn processes_stay_in_their_callers_keyring_on_request() {
    let Ok(keys) = std::fs::read_to_string("/proc/keys") else { return };
    assert!(keys.contains("keyring"), "{keys}");
    // A container's keyring is there for as long as somebody is in it.
    let is_there = |bundle: &Bundle| {
        let keys = std::fs::read_to_string("/proc/keys").unwrap();
        keys.contains(&format!(" _ses.{}:", bundle.id))
    };
    for (flags, has_own) in [(&[][..], true), (&["--no-new-keyring"], false)] {
        let bundle = Bundle::program(&["sleep", "1000"]);
        bundle.succeed(&[&["create"], flags, &["ID"]].concat());
        assert_eq!(is_there(&bundle), has_own);
        bundle.succeed(&["start", "ID"]);
        bundle.succeed(&["exec", "--detach", "ID", "sleep", "1000"]);
        assert_eq!(is_there(&bundle), has_own);
    }
}
