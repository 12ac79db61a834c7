//! Layers that try to get out of their directory, to lie, or to exhaust the machine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/archives.rs"]
mod archives;
#[path = "support/place.rs"]
mod place;

use archives::Tar;
use place::Place;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use supervisor_snapshots::extract::{ExtractError, Limits, Whiteouts, extract};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_symlinked_parent_leads_to_the_place_of_that_name_inside_the_layer() {
    // CVE-2014-6407, CVE-2021-38511: a link out, then an entry through it.
    for relative in [false, true] {
        let place = Place::new();
        let target = if relative { "../host".to_owned() } else { text(&place.host()).to_owned() };
        let archive = Tar::new()
            .symlink("out", &target)
            .file("out/new", b"x")
            .file("out/canary", b"dead")
            .directory("out/sub")
            .mode(b'5', "out", 0o755, b"")
            .end();
        place.unpack(&archive).unwrap();
        place.assert_host_untouched();
    }
}

#[test]
fn a_chain_of_symlinks_and_dots_stays_inside() {
    let place = Place::new();
    let archive = Tar::new()
        .directory("a")
        .symlink("a/up", "../../../../../..")
        .symlink("b", "a/up/host")
        .file("b/canary", b"dead")
        .end();
    place.unpack(&archive).unwrap();
    place.assert_host_untouched();
    assert_eq!(fs::read(place.layer().join("host/canary")).unwrap(), b"dead");
}

#[test]
fn names_with_dots_that_climb_are_refused_and_absolute_ones_are_inside() {
    let place = Place::new();
    for name in ["../host/canary", "a/../../host/canary", ".."] {
        let error = place.unpack(&Tar::new().file(name, b"dead").end()).unwrap_err();
        assert!(matches!(error, ExtractError::UnsafeName { .. }), "{error}");
    }
    let canary = place.host().join("canary");
    place.unpack(&Tar::new().file(text(&canary), b"mine").end()).unwrap();
    place.assert_host_untouched();
}

#[test]
fn hard_links_never_reach_outside() {
    // CVE-2018-20990: a hard link to a host file, then data through it.
    let place = Place::new();
    let canary = place.host().join("canary");
    for target in [text(&canary), "../host/canary"] {
        let archive = Tar::new().hard_link("x", target).file("x", b"dead").end();
        let _ = place.unpack(&archive);
        place.assert_host_untouched();
    }
    let archive = Tar::new()
        .symlink("link", text(&place.host()))
        .hard_link("y", "link/canary")
        .file("y", b"dead")
        .end();
    let _ = place.unpack(&archive);
    place.assert_host_untouched();
}

#[test]
fn data_modes_and_times_never_go_through_a_symlink() {
    // CVE-2021-32760: a mode change through a link; and a hard link to a link.
    let place = Place::new();
    let canary = place.host().join("canary");
    let archive = Tar::new()
        .symlink("s", text(&canary))
        .hard_link("h", "s")
        .mode(b'0', "s", 0o777, b"dead")
        .mode(b'0', "h", 0o777, b"dead")
        .symlink("d", text(&place.host()))
        .mode(b'5', "d", 0o777, b"")
        .end();
    place.unpack(&archive).unwrap();
    place.assert_host_untouched();
    assert!(place.layer().join("d").symlink_metadata().unwrap().is_dir());
    assert!(place.layer().join("s").symlink_metadata().unwrap().is_file());
}

#[test]
fn the_root_of_a_layer_can_only_be_a_directory() {
    // CVE-2021-29136.
    let place = Place::new();
    for name in [".", "./", "/", "a/.."] {
        let archive = Tar::new().symlink(name, text(&place.host())).file("canary", b"dead").end();
        assert!(place.unpack(&archive).is_err(), "{name}");
        place.assert_host_untouched();
    }
}

#[test]
fn whiteouts_through_symlinks_and_of_nothing_do_no_harm() {
    let place = Place::new();
    let archive = Tar::new()
        .symlink("out", text(&place.host()))
        .file("out/.wh.canary", b"")
        .file("out/.wh..wh..opq", b"")
        .end();
    place.unpack(&archive).unwrap();
    place.assert_host_untouched();
    for name in [".wh.", ".wh..", "a/.wh..."] {
        assert!(place.unpack(&Tar::new().file(name, b"").end()).is_err(), "{name}");
    }
    let deleting = Tar::new()
        .symlink("out", text(&place.host()))
        .file("out/.wh.canary", b"")
        .file("out/.wh..wh..opq", b"")
        .end();
    let target = File::open(place.layer()).unwrap().into();
    extract(&deleting[..], target, Whiteouts::Delete, &Limits::default()).unwrap();
    place.assert_host_untouched();
}

#[test]
fn a_layer_cannot_forge_overlay_marks() {
    let place = Place::new();
    let archive = Tar::new()
        .pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/etc"), ("SCHILY.xattr.user.x", b"1")])
        .directory("d")
        .end();
    place.unpack(&archive).unwrap();
    let directory = File::open(place.layer().join("d")).unwrap();
    let mut value = [0; 16];
    assert!(rustix::fs::fgetxattr(&directory, "trusted.overlay.redirect", &mut value).is_err());
    assert_eq!(rustix::fs::fgetxattr(&directory, "user.x", &mut value), Ok(1));
}

#[test]
fn a_link_that_loops_is_an_error_not_a_hang() {
    let place = Place::new();
    let archive = Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", b"").end();
    assert!(place.unpack(&archive).is_err());
}

#[test]
fn sizes_in_pax_records_apply_to_their_entry_only() {
    // CVE-2025-62518: the size of the file must not move the extension header between them.
    let place = Place::new();
    let long = "n".repeat(120);
    let archive = Tar::new()
        .pax(&[("size", b"600")])
        .raw(b'L', b"long", b"", 0o644, 121, format!("{long}\0").as_bytes())
        .raw(b'0', b"short", b"", 0o644, 0, &[b'x'; 600])
        .file("after", b"y")
        .end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::read(place.layer().join(&long)).unwrap(), [b'x'; 600]);
    assert_eq!(fs::read(place.layer().join("after")).unwrap(), b"y");
    assert_eq!(fs::read_dir(place.layer()).unwrap().count(), 2);
}

#[test]
fn header_only_entries_have_no_data_whatever_their_size_says() {
    let place = Place::new();
    let archive = Tar::new().raw(b'5', b"d", b"", 0o755, 512, b"").file("after", b"y").end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::read(place.layer().join("after")).unwrap(), b"y");
}

#[test]
fn what_is_too_much_is_told_before_it_is_read() {
    let limits = Limits {
        entries: 10,
        name_bytes: 100,
        extension_bytes: 4096,
        xattr_bytes: 1000,
        xattrs: 10,
        remembered_bytes: 1 << 20,
        sparse_segments: 10,
        archive_bytes: 1 << 20,
        file_bytes: 1 << 21,
    };
    let place = Place::new();
    let many = (0..11).fold(Tar::new(), |tar, number| tar.file(&format!("f{number}"), b"")).end();
    let big = Tar::new().raw(b'0', b"big", b"", 0o644, 1 << 40, b"").end();
    let long = Tar::new().raw(b'L', b"l", b"", 0o644, 200, &[b'n'; 200]).file("x", b"").end();
    let huge_extension = Tar::new().raw(b'x', b"p", b"", 0o644, 1 << 33, b"").end();
    let xattr = Tar::new().pax(&[("SCHILY.xattr.user.a", &[b'x'; 1001])]).file("x", b"").end();
    let sparse = Tar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"9999999999999"),
        ])
        .file("x", &{
            let mut map = b"1\n0\n0\n".to_vec();
            map.resize(512, 0);
            map
        })
        .end();
    for archive in [many, big, long, huge_extension, xattr, sparse] {
        let error = place.unpack_within(&archive, &limits).unwrap_err();
        assert!(matches!(error, ExtractError::TooMuch { .. }), "{error}");
    }
}

#[test]
fn archives_cut_anywhere_are_refused_or_end_early_but_never_panic() {
    let whole = Tar::new()
        .pax(&[("path", b"p"), ("SCHILY.xattr.user.a", b"v")])
        .file("f", &[7; 700])
        .directory("d")
        .hard_link("h", "p")
        .cut();
    for length in 0..whole.len() {
        let place = Place::new();
        if place.unpack(&whole[..length]).is_ok() {
            assert!(length.is_multiple_of(512), "cut at {length}");
        }
    }
}

#[test]
fn a_damaged_header_is_refused() {
    let place = Place::new();
    let mut archive = Tar::new().file("f", b"x").end();
    archive[3] ^= 1;
    assert!(matches!(place.unpack(&archive), Err(ExtractError::Malformed { .. })));
    assert!(place.unpack(&[b'a'; 2048]).is_err());
    assert!(place.unpack(&Tar::new().entry(b'Z', "f", "", b"").end()).is_err());
}

#[test]
fn a_deep_directory_is_removed_when_a_file_replaces_it() {
    let place = Place::new();
    let mut tar = Tar::new();
    let mut name = String::from("d");
    for _ in 0..40 {
        name.push_str("/d");
    }
    tar = tar.pax(&[("path", name.as_bytes())]).directory("x");
    for _ in 0..40 {
        name.push_str("/d");
    }
    tar = tar.pax(&[("path", name.as_bytes())]).directory("x").file("d", b"file now");
    place.unpack(&tar.end()).unwrap();
    assert_eq!(fs::read(place.layer().join("d")).unwrap(), b"file now");
    assert_eq!(fs::read_dir(place.layer()).unwrap().count(), 1);
}

#[test]
fn links_that_were_there_before_are_replaced_not_followed() {
    let place = Place::new();
    symlink(place.host().join("canary"), place.layer().join("old")).unwrap();
    symlink(place.host(), place.layer().join("olddir")).unwrap();
    let archive = Tar::new().file("old", b"mine").mode(b'5', "olddir", 0o700, b"").end();
    place.unpack(&archive).unwrap();
    place.assert_host_untouched();
    assert_eq!(fs::read(place.layer().join("old")).unwrap(), b"mine");
}
