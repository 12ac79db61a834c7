//! Entries that claim to be what they must not become: forged marks of overlayfs, attributes of the
//! host's administrator, devices to write through, names that two readers read differently, and
//! little that unpacks to much. What is compared with containerd is its `pkg/archive`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/archives.rs"]
mod archives;
#[path = "support/place.rs"]
mod place;

use archives::{Tar, record};
use place::Place;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use supervisor_snapshots::extract::{ExtractError, Limits, Whiteouts, adopt, extract};
use supervisor_snapshots::layer::unpack;
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    Some(value[..length].to_vec())
}

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
}

#[test]
fn no_attribute_of_overlayfs_or_of_the_administrator_comes_from_an_archive() {
    let forged = [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "trusted.overlay.origin",
        "trusted.overlay.upper",
        "trusted.overlay.whiteouts",
        "trusted.overlay.overlay.opaque",
        "trusted.anything",
        "user.overlay.redirect",
        "user.overlay.opaque",
    ];
    let place = Place::new();
    let names: Vec<String> = forged.iter().map(|name| format!("SCHILY.xattr.{name}")).collect();
    let mut records: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), &b"y"[..])).collect();
    records.push(("SCHILY.xattr.user.mine", b"1"));
    let entries = |tar: Tar| {
        tar.pax(&records)
            .directory("d")
            .pax(&records)
            .file("f", b"x")
            .pax(&records)
            .symlink("l", "f")
    };
    place.unpack(&entries(Tar::new()).pax(&records).directory("./").end()).unwrap();
    for path in ["d", "f", "l", ""].map(|name| place.layer().join(name)) {
        for name in forged {
            assert_eq!(xattr(&path, name), None, "{name} of {}", path.display());
        }
    }
    assert_eq!(xattr(&place.layer().join("f"), "user.mine").unwrap(), b"1");
}

#[test]
fn what_a_lower_layer_has_of_such_attributes_is_not_copied_up() {
    let (lower, upper) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::create_dir(lower.path().join("d")).unwrap();
    for name in ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.mine"] {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(lower.path().join("d"), name, b"/etc", flags).unwrap();
    }
    let target = File::open(upper.path()).unwrap().into();
    let archive = Tar::new().file("d/new", b"").end();
    let summary = extract(&archive[..], target, Whiteouts::Overlay, &Limits::default()).unwrap();
    let root = File::open(upper.path()).unwrap().into();
    adopt(&summary, &root, &[lower.path().to_owned()]).unwrap();
    let directory = upper.path().join("d");
    assert_eq!(xattr(&directory, "user.mine").unwrap(), b"/etc");
    assert_eq!(xattr(&directory, "trusted.overlay.redirect"), None);
    assert_eq!(xattr(&directory, "trusted.overlay.opaque"), None);
}

#[test]
fn capabilities_and_set_id_bits_stay_with_their_own_file() {
    let capability: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let place = Place::new();
    let canary = place.host().join("canary");
    let set = [("SCHILY.xattr.security.capability", capability)];
    let archive = Tar::new()
        .pax(&set)
        .mode(b'0', "ping", 0o6755, b"x")
        // Through a link to the host's file, by its name, and by hard links to it.
        .symlink("link", text(&canary))
        .pax(&set)
        .hard_link("again", "link")
        .pax(&set)
        .mode(b'1', "third", 0o6777, b"")
        .end();
    let _ = place.unpack(&archive);
    place.assert_host_untouched();
    assert_eq!(xattr(&canary, "security.capability"), None);
    let ping = place.layer().join("ping");
    assert_eq!(ping.metadata().unwrap().mode() & 0o7777, 0o6755);
    assert_eq!(xattr(&ping, "security.capability").unwrap(), capability);
    // An entry that replaces it takes neither over.
    let archive = Tar::new().mode(b'0', "ping", 0o644, b"y").end();
    place.unpack(&archive).unwrap();
    assert_eq!(ping.metadata().unwrap().mode() & 0o7777, 0o644);
    assert_eq!(xattr(&ping, "security.capability"), None);
}

#[test]
fn devices_and_pipes_are_made_but_never_opened() {
    let place = Place::new();
    // Data for a name that is a device or a pipe goes to a new file, and a directory's entry to a
    // new directory.
    let archive = Tar::new()
        .entry(b'3', "null", "", b"")
        .entry(b'4', "disk", "", b"")
        .entry(b'6', "pipe", "", b"")
        .file("null", b"mine")
        .file("disk", b"mine")
        .mode(b'5', "pipe", 0o700, b"")
        .file("pipe/in", b"mine")
        .entry(b'3', "kept", "", b"")
        .hard_link("kept-too", "kept")
        .end();
    place.unpack(&archive).unwrap();
    for name in ["null", "disk", "pipe/in"] {
        assert_eq!(fs::read(place.layer().join(name)).unwrap(), b"mine");
    }
    let kept = place.layer().join("kept").symlink_metadata().unwrap();
    assert!(kept.file_type().is_char_device());
    assert_eq!(kept.nlink(), 2);
    // What lies below one cannot be.
    let archive = Tar::new().entry(b'6', "p", "", b"").file("p/below", b"").end();
    assert!(matches!(place.unpack(&archive), Err(ExtractError::Entry { .. })));
    let archive =
        Tar::new().symlink("out", text(&place.host())).entry(b'3', "out/d", "", b"").end();
    place.unpack(&archive).unwrap();
    place.assert_host_untouched();
}

#[test]
fn a_forged_whiteout_hides_no_more_than_a_real_one() {
    // A device 0:0 is what a whiteout becomes: an archive may as well say `.wh.`.
    let place = Place::new();
    let archive = Tar::new().device(b'3', "gone", 0, 0).file("gone/new", b"x").end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::read(place.layer().join("gone/new")).unwrap(), b"x");
    assert_eq!(xattr(&place.layer().join("gone"), "trusted.overlay.opaque").unwrap(), b"y");
    let archive = Tar::new().device(b'3', "w", 0, 0).hard_link("w2", "w").end();
    let summary = place.unpack(&archive).unwrap();
    assert_eq!(summary.missing_links.len(), 1, "nothing is linked to a whiteout");
}

#[test]
fn whiteouts_of_any_type_and_place_hide_only_their_name() {
    let place = Place::new();
    let archive = Tar::new()
        .symlink("out", text(&place.host()))
        .entry(b'2', ".wh.a", text(&place.host().join("canary")), b"")
        .entry(b'1', "out/.wh.canary", text(&place.host().join("canary")), b"")
        .entry(b'3', ".wh.b", "", b"")
        .file(".wh.c", b"with data")
        .directory(".wh.d")
        .directory("sub/.wh..wh..opq")
        .entry(b'2', "opaque/.wh..wh..opq", "/etc", b"")
        .file(".wh..wh.orph/x", b"")
        .end();
    place.unpack(&archive).unwrap();
    place.assert_host_untouched();
    for name in ["a", "b", "c", "d"] {
        assert!(is_whiteout(&place.layer().join(name)), "{name}");
    }
    for name in ["sub", "opaque"] {
        let opaque = xattr(&place.layer().join(name), "trusted.overlay.opaque");
        assert_eq!(opaque.unwrap(), b"y", "{name}");
    }
    for bad in [".wh.", ".wh..", ".wh...", "x/.wh..", "./.wh.", "x/../.wh..."] {
        let error = place.unpack(&Tar::new().file(bad, b"").end()).unwrap_err();
        assert!(matches!(error, ExtractError::UnsafeName { .. }), "{bad}: {error}");
    }
}

#[test]
fn link_chains_lead_nowhere_outside() {
    // CVE-2026-17106, CVE-2025-47290: links to links, changed between their uses.
    let place = Place::new();
    let host = text(&place.host()).to_owned();
    let archive = Tar::new()
        .directory("a")
        .symlink("a/b", "..")
        .symlink("a/b/c", &host)
        .file("a/b/c/canary", b"dead")
        .symlink("a/b/c/up", "../../../../host")
        .hard_link("h", "a/b/c/up")
        .file("h/canary", b"dead")
        .mode(b'5', "a", 0o755, b"")
        .symlink("a", &host)
        .file("a/canary", b"dead")
        .hard_link("x", "a/canary")
        .file("x", b"dead")
        .end();
    let _ = place.unpack(&archive);
    place.assert_host_untouched();
    // The same again over what is there now, and as a layer whose marks are deletions.
    let _ = place.unpack(&archive);
    let target = File::open(place.layer()).unwrap().into();
    let _ = extract(&archive[..], target, Whiteouts::Delete, &Limits::default());
    place.assert_host_untouched();
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let place = Place::new();
    let refused = |archive: &[u8], what: &str| {
        assert!(place.unpack(archive).is_err(), "{what}");
    };
    let map = |pairs: &str, size: &str, stored: &[u8]| {
        Tar::new()
            .pax(&[("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", pairs.as_bytes())])
            .file("s", stored)
            .end()
    };
    refused(&map("0,1,0,1", "9", b"ab"), "overlap");
    refused(&map("5,1,0,1", "9", b"ab"), "descending");
    refused(&map("8,2", "9", b"ab"), "beyond the end");
    refused(&map("18446744073709551615,2", "9", b"ab"), "overflow");
    refused(&map("0,18446744073709551615", "18446744073709551615", b"ab"), "too long");
    refused(&map("0,1", "9", b"ab"), "less than is stored");
    refused(&map("0,3", "9", b"ab"), "more than is stored");
    refused(&map("0", "9", b""), "odd");
    refused(&map("0,-1", "9", b""), "negative");
    refused(&map("0,1", "99999999999999", b"a"), "larger than any file");
    let huge: String = (0..100_001).map(|at| format!("{at},0,")).collect();
    let huge = Tar::new()
        .pax(&[("GNU.sparse.size", b"200000"), ("GNU.sparse.map", huge.as_bytes())])
        .file("s", b"")
        .end();
    refused(&huge, "too many pieces");
    let numbers = [record("GNU.sparse.numbytes", b"1"), record("GNU.sparse.offset", b"0")].concat();
    let order = Tar::new().raw(b'x', b"p", b"", 0o644, numbers.len() as u64, &numbers);
    refused(&order.file("s", b"a").end(), "length before offset");
    for data in ["9\n0\n", "1\n0\n1", "18446744073709551615\n", "x\n", "\n"] {
        let archive = Tar::new()
            .pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.realsize", b"9"),
            ])
            .file("s", data.as_bytes())
            .end();
        refused(&archive, data);
    }
    // An old GNU entry whose map goes on for ever.
    let mut endless = Tar::new().entry(b'S', "s", "", b"").cut();
    endless[482] = 1;
    endless[483..495].copy_from_slice(b"00000000000\0");
    archives::checksum(&mut endless[..512]);
    let block = {
        let mut block = [0_u8; 512];
        block[..12].copy_from_slice(b"00000000000\0");
        block[12..24].copy_from_slice(b"00000000000\0");
        block[504] = 1;
        block
    };
    for _ in 0..110_000 {
        endless.extend_from_slice(&block);
    }
    let error = place.unpack(&endless).unwrap_err();
    assert!(matches!(error, ExtractError::TooMuch { .. }), "{error}");
    assert!(!place.layer().join("s").exists());
}

#[test]
fn what_two_readers_would_read_differently_is_read_as_go_reads_it() {
    let place = Place::new();
    // A global header is an entry to Go, at which the records before it are forgotten.
    let archive = Tar::new()
        .pax(&[("path", b"hidden")])
        .raw(b'g', b"pax_global_header", b"", 0o644, 11, &record("path", b"g"))
        .file("seen", b"x")
        .end();
    place.unpack(&archive).unwrap();
    assert!(place.layer().join("seen").exists() && !place.layer().join("hidden").exists());
    // CVE-2026-33055: the size of the records counts, whatever the header says.
    let archive = Tar::new()
        .pax(&[("size", b"1024")])
        .raw(b'0', b"sized", b"", 0o644, 3, &[b'x'; 1024])
        .file("after", b"y")
        .end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::metadata(place.layer().join("sized")).unwrap().len(), 1024);
    // CVE-2026-32766: damaged records are an error, not nothing.
    let archive = Tar::new().raw(b'x', b"p", b"", 0o644, 9, b"9 path=x ").file("f", b"").end();
    assert!(matches!(place.unpack(&archive), Err(ExtractError::Malformed { .. })));
    // One block of zeros, and then more: some stop, some go on.
    let smuggled = Tar::new().file("first", b"").bytes(&[0; 512]).file("smuggled", b"").end();
    assert!(matches!(place.unpack(&smuggled), Err(ExtractError::Malformed { .. })));
    assert!(!place.layer().join("smuggled").exists());
    // Types that Go knows nothing of.
    for flag in [b'V', b'M', b'N', b'A', b'D'] {
        let archive = Tar::new().entry(flag, "odd", "", b"").end();
        assert!(matches!(place.unpack(&archive), Err(ExtractError::UnknownType { .. })));
    }
}

#[test]
fn a_short_end_is_an_end() {
    for end in [0, 512, 1024, 1536] {
        let place = Place::new();
        let archive = Tar::new().file("f", b"x").bytes(&vec![0; end]).cut();
        place.unpack(&archive).unwrap();
        assert!(place.layer().join("f").exists());
    }
}

#[test]
fn padding_after_the_end_costs_no_memory() {
    // CVE-2017-14992: gigabytes of it were kept.
    let place = Place::new();
    let archive = Tar::new().file("f", b"x").end();
    let padded =
        std::io::Read::chain(&archive[..], std::io::Read::take(std::io::repeat(0), 1 << 28));
    let before = peak();
    let target = File::open(place.layer()).unwrap().into();
    let limits = Limits::default();
    let unpacked = unpack(padded, target, Whiteouts::Overlay, &limits, None).unwrap();
    assert!(unpacked.archive_bytes > 1 << 28);
    assert!(peak() - before < 32 << 10, "{} KiB", peak() - before);
    let small = Limits { archive_bytes: 1 << 20, ..limits };
    let padded = std::io::Read::chain(&archive[..], std::io::repeat(0));
    let target = File::open(place.layer()).unwrap().into();
    let error = unpack(padded, target, Whiteouts::Overlay, &small, None).unwrap_err();
    assert!(matches!(error, ExtractError::TooMuch { .. }), "{error}");
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn little_that_becomes_much_is_refused() {
    let place = Place::new();
    let limits = Limits { remembered_bytes: 64 << 10, entries: 1000, ..Limits::default() };
    let too_much = |archive: &[u8], what: &str| {
        let error = place.unpack_within(archive, &limits).unwrap_err();
        assert!(matches!(error, ExtractError::TooMuch { .. }), "{what}: {error}");
    };
    let long = |number: usize| format!("{number:04}/{}", "x".repeat(90));
    let directories = (0..900).fold(Tar::new(), |tar, number| tar.directory(&long(number)));
    too_much(&directories.end(), "names of directories");
    let same = (0..900).fold(Tar::new(), |tar, _| tar.directory(&long(1)));
    too_much(&same.end(), "names of one directory");
    let links = (0..900).fold(Tar::new(), |tar, number| tar.hard_link(&long(number), "none"));
    too_much(&links.end(), "links to nothing");
    let deep = |number: usize| format!("{number}{}/f", "/d".repeat(300));
    let implied = (0..30).fold(Tar::new(), |tar, number| {
        tar.pax(&[("path", deep(number).as_bytes())]).file("f", b"")
    });
    too_much(&implied.end(), "directories that are only implied");
    let roomy = Limits { remembered_bytes: 1 << 30, ..limits };
    let error = place.unpack_within(&implied_only(20), &roomy).unwrap_err();
    assert!(matches!(error, ExtractError::TooMuch { what: "entries", .. }), "{error}");
}

/// An archive of few entries that imply many directories.
fn implied_only(entries: usize) -> Vec<u8> {
    let name = |number: usize| format!("i{number}{}/f", "/d".repeat(300));
    let tar = (0..entries).fold(Tar::new(), |tar, number| {
        tar.pax(&[("path", name(number).as_bytes())]).file("f", b"")
    });
    tar.end()
}

#[test]
fn thousands_of_attributes_are_refused_before_they_cost_anything() {
    let records: Vec<u8> =
        (0..30_000).flat_map(|n| record(&format!("SCHILY.xattr.user.{n}"), b"")).collect();
    assert!(records.len() < 1 << 20);
    let place = Place::new();
    let archive = Tar::new().raw(b'x', b"p", b"", 0o644, records.len() as u64, &records);
    let error = place.unpack(&archive.file("f", b"").end()).unwrap_err();
    assert!(matches!(error, ExtractError::TooMuch { .. }), "{error}");
}

#[test]
fn bombs_in_the_compression_are_bounded() {
    let place = Place::new();
    let target = || File::open(place.layer()).unwrap().into();
    let limits = Limits { archive_bytes: 1 << 20, ..Limits::default() };
    let archive = Tar::new().file("f", &vec![0; 64 << 20]).end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &archive).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::stream::encode_all(&archive[..], 3).unwrap();
    for bomb in [gzip, zstd] {
        assert!(bomb.len() < 1 << 20);
        let unpacked = unpack(&bomb[..], target(), Whiteouts::Nothing, &limits, None);
        assert!(matches!(unpacked, Err(ExtractError::TooMuch { .. })));
    }
    // A frame that wants a window of 2 GiB: magic, no flags, exponent 21 above 1 KiB.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
    let unpacked = unpack(&window[..], target(), Whiteouts::Nothing, &Limits::default(), None);
    assert!(matches!(unpacked, Err(ExtractError::Read(_))), "{unpacked:?}");
    // CVE-2014-9357: no program is called for what we cannot decompress ourselves.
    for start in [&b"\xfd7zXZ\0\0\0"[..], b"BZh91AY&SY"] {
        let unpacked = unpack(start, target(), Whiteouts::Nothing, &Limits::default(), None);
        let error = unpacked.unwrap_err();
        let words = std::error::Error::source(&error).unwrap().to_string();
        assert!(words.contains("gzip or zstd"), "{words}");
    }
}

#[test]
fn a_damaged_layer_ends_in_an_error_at_once() {
    // CVE-2021-20291: a truncated layer held a lock for ever.
    let archive = Tar::new().file("f", &[7; 100_000]).end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &archive).unwrap();
    let whole = gzip.finish().unwrap();
    for length in (0..whole.len()).step_by(7) {
        let place = Place::new();
        let target = File::open(place.layer()).unwrap().into();
        let unpacked =
            unpack(&whole[..length], target, Whiteouts::Nothing, &Limits::default(), None);
        if length > 0 {
            assert!(unpacked.is_err(), "cut at {length}");
        }
    }
}

#[test]
fn many_links_to_one_lower_file_are_one_copy() {
    let (lower, upper) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(lower.path().join("big"), vec![7; 1 << 20]).unwrap();
    let tar = (0..100).fold(Tar::new(), |tar, n| tar.hard_link(&format!("l{n}"), "big"));
    // A link to such a link, and one whose name a later entry takes.
    let tar = tar.hard_link("chained", "l3").file("l4", b"later").directory("l5");
    let target = File::open(upper.path()).unwrap().into();
    let summary = extract(&tar.end()[..], target, Whiteouts::Overlay, &Limits::default()).unwrap();
    assert_eq!(summary.missing_links.len(), 99);
    let root = File::open(upper.path()).unwrap().into();
    adopt(&summary, &root, &[lower.path().to_owned()]).unwrap();
    let at = |name: &str| -> PathBuf { upper.path().join(name) };
    let first = at("l0").metadata().unwrap();
    assert_eq!((first.nlink(), first.len()), (99, 1 << 20));
    assert_eq!(at("chained").metadata().unwrap().ino(), first.ino());
    assert_eq!(fs::read(at("l4")).unwrap(), b"later");
    assert!(at("l5").is_dir());
    assert_eq!(lower.path().join("big").metadata().unwrap().nlink(), 1);
}

#[test]
fn a_link_into_a_lower_layer_stays_in_the_layers() {
    let place = Place::new();
    let lower = TempDir::new().unwrap();
    std::os::unix::fs::symlink(place.host(), lower.path().join("out")).unwrap();
    std::os::unix::fs::symlink(place.host().join("canary"), lower.path().join("file")).unwrap();
    let canary = place.host().join("canary");
    for target in ["out/canary", "file", text(&canary), "../host/canary"] {
        let archive = Tar::new().hard_link("l", target).end();
        let Ok(summary) = place.unpack(&archive) else { continue };
        let root = File::open(place.layer()).unwrap().into();
        let adopted = adopt(&summary, &root, &[lower.path().to_owned()]);
        assert!(adopted.is_err(), "{target}");
        place.assert_host_untouched();
    }
}
