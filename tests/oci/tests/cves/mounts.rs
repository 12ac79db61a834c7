//! Mounts, devices and their places: nothing of them may come out of the root.

use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tests_oci::bundle::Bundle;
use tests_oci::race::exchanging;

/// How often a race is run.
const RUNS: usize = 40;

/// CVE-2019-18837, CVE-2023-28642, CVE-2025-54867.
#[test]
fn an_image_whose_proc_or_sys_is_a_link_is_refused() {
    for folder in ["proc", "sys"] {
        for target in ["tmp", "/tmp", "OUT"] {
            let bundle = Bundle::script("true");
            let out = bundle.way_out();
            bundle.link(folder, if target == "OUT" { &out } else { Path::new(target) });
            let ended = bundle.run();
            assert_ne!(ended.code, 0, "{folder} -> {target}: {ended:?}");
            assert!(ended.err.contains("must be a folder, not a link"), "{ended:?}");
            bundle.assert_nothing_came_out();
        }
    }
}

/// CVE-2015-3629: the second start finds what the first one made.
#[test]
fn a_link_at_a_mount_s_place_is_followed_inside_the_root_only() {
    let mut bundle = Bundle::script("ls -d /trap/inner");
    bundle.link("trap", &bundle.way_out());
    bundle.add_mount("/trap/inner", "tmpfs", Path::new("tmpfs"), &[]);
    for _ in 0..2 {
        let ended = bundle.run();
        assert_eq!(ended.out, "/trap/inner\n", "{ended:?}");
        bundle.assert_nothing_came_out();
    }
}

#[test]
fn dots_in_a_mount_s_place_do_not_climb_out() {
    let mut bundle = Bundle::script("true");
    let place = Path::new("/").join(bundle.way_out()).join("inner");
    bundle.add_mount(&place.to_string_lossy(), "tmpfs", Path::new("tmpfs"), &[]);
    let ended = bundle.run();
    assert_eq!(ended.code, 0, "{ended:?}");
    bundle.assert_nothing_came_out();
}

/// CVE-2021-30465: a second container that has the volume exchanges the mount's place for a link.
#[test]
fn a_mount_s_place_that_is_exchanged_for_a_link_shows_nothing_of_the_host() {
    let mut bundle = Bundle::script("");
    let volume = bundle.path().join("volume");
    fs::create_dir_all(volume.join("place")).unwrap();
    symlink("../../../../../../../..", volume.join("link")).unwrap();
    let mark = format!("mark-of-{}", bundle.id);
    fs::write(bundle.path().join(&mark), "").unwrap();
    bundle.config["process"]["args"][2] =
        json!(format!("find / \\( -path /proc -o -path /sys \\) -prune -o -name {mark} -print"));
    bundle.add_mount("/volume", "bind", &volume, &["rbind"]);
    bundle.add_mount("/volume/place", "tmpfs", Path::new("tmpfs"), &[]);
    bundle.add_mount("/volume/place/more", "bind", &bundle.outside(), &["rbind"]);
    exchanging(&volume.join("place"), &volume.join("link"), || {
        for _ in 0..RUNS {
            let ended = bundle.run();
            assert_eq!(ended.out, "", "{ended:?}");
            bundle.assert_nothing_came_out();
        }
    });
}

/// CVE-2024-45310.
#[test]
fn nothing_is_made_outside_for_a_mount_whose_parents_are_exchanged() {
    let mut bundle = Bundle::script("true");
    let volume = bundle.path().join("volume");
    fs::create_dir_all(volume.join("place")).unwrap();
    symlink(bundle.way_out(), volume.join("link")).unwrap();
    let file = bundle.path().join("file");
    fs::write(&file, "").unwrap();
    bundle.add_mount("/volume", "bind", &volume, &["rbind"]);
    bundle.add_mount("/volume/place/a/b/file", "bind", &file, &["bind"]);
    bundle.add_mount("/volume/place/c/d", "tmpfs", Path::new("tmpfs"), &[]);
    exchanging(&volume.join("place"), &volume.join("link"), || {
        for _ in 0..RUNS {
            let _ = bundle.run();
            bundle.assert_nothing_came_out();
            // So that there is always something to be made.
            for made in [volume.join("place"), volume.join("link")] {
                for part in ["a", "c"] {
                    let _ = fs::remove_dir_all(made.join(part));
                }
            }
        }
    });
}

/// CVE-2026-41579, CVE-2026-47766.
#[test]
fn an_image_whose_dev_is_a_link_gets_no_device_outside() {
    for has_tmpfs in [true, false] {
        let mut bundle = Bundle::script("true");
        if !has_tmpfs {
            bundle.leave_dev_to_image();
        }
        bundle.link("dev", &bundle.way_out());
        let _ = bundle.run();
        bundle.assert_nothing_came_out();
    }
}

/// The same with a folder on the way to a device.
#[test]
fn an_image_s_link_below_dev_gets_no_device_outside() {
    let mut bundle = Bundle::script("true");
    bundle.leave_dev_to_image();
    bundle.link("dev/more", &bundle.way_out());
    bundle.config["linux"]["devices"] =
        json!([{"path": "/dev/more/zero", "type": "c", "major": 1, "minor": 5}]);
    let _ = bundle.run();
    bundle.assert_nothing_came_out();
}

/// The same as a race.
#[test]
fn a_dev_that_is_exchanged_for_a_link_gets_no_device_outside() {
    let mut bundle = Bundle::script("true");
    bundle.leave_dev_to_image();
    bundle.link("link", &bundle.way_out());
    exchanging(&bundle.rootfs().join("dev"), &bundle.rootfs().join("link"), || {
        for _ in 0..RUNS {
            let _ = bundle.run();
            bundle.assert_nothing_came_out();
        }
    });
}
