//! What well-formed layers become.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/archives.rs"]
mod archives;

use archives::Tar;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use supervisor_snapshots::extract::{Limits, Summary, Whiteouts, adopt, extract};
use supervisor_snapshots::layer::unpack;
use tempfile::TempDir;

fn unpack_into(directory: &Path, archive: &[u8], whiteouts: Whiteouts) -> Summary {
    let target = File::open(directory).unwrap().into();
    extract(archive, target, whiteouts, &Limits::default()).unwrap()
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 1];
    rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value) == Ok(1)
}

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
}

#[test]
fn every_kind_of_entry_arrives_with_its_attributes() {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let archive = Tar::new()
        .mode(b'5', "./", 0o711, b"")
        .pax(&[
            ("uid", b"1000"),
            ("gid", b"2000000"),
            ("mtime", b"1500000000.25"),
            ("SCHILY.xattr.security.capability", &capability),
        ])
        .mode(b'0', "bin/ping", 0o4755, b"program")
        .symlink("link", "/bin/ping")
        .hard_link("again", "bin/ping")
        .entry(b'3', "null", "", b"")
        .entry(b'4', "disk", "", b"")
        .entry(b'6', "pipe", "", b"")
        .mode(b'5', "bin", 0o2775, b"")
        .end();
    let directory = TempDir::new().unwrap();
    let summary = unpack_into(directory.path(), &archive, Whiteouts::Overlay);
    let at = |name: &str| directory.path().join(name);
    let metadata = |name: &str| at(name).symlink_metadata().unwrap();

    assert_eq!(directory.path().metadata().unwrap().mode() & 0o7777, 0o711);
    let ping = metadata("bin/ping");
    assert_eq!((ping.mode() & 0o7777, ping.uid(), ping.gid()), (0o4755, 1000, 2_000_000));
    assert_eq!((ping.mtime(), ping.mtime_nsec(), ping.nlink()), (1_500_000_000, 250_000_000, 2));
    let mut value = [0; 32];
    let length = rustix::fs::getxattr(at("bin/ping"), "security.capability", &mut value);
    assert_eq!(length, Ok(20));
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("/bin/ping"));
    assert_eq!(metadata("link").mtime(), 1_600_000_000);
    assert_eq!(metadata("again").ino(), ping.ino());
    assert_eq!(metadata("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(metadata("disk").file_type().is_block_device());
    assert!(metadata("pipe").file_type().is_fifo());
    let bin = metadata("bin");
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o2775, 1_600_000_000));
    assert!(summary.implicit.is_empty(), "bin got an entry of its own later");
}

#[test]
fn whiteouts_become_overlay_marks() {
    let archive = Tar::new()
        .file("etc/.wh.gone", b"")
        .file("var/.wh..wh..opq", b"")
        .file("var/new", b"x")
        .file(".wh..wh.plnk", b"")
        .end();
    let directory = TempDir::new().unwrap();
    let summary = unpack_into(directory.path(), &archive, Whiteouts::Overlay);
    assert!(is_whiteout(&directory.path().join("etc/gone")));
    assert!(is_opaque(&directory.path().join("var")) && !is_opaque(&directory.path().join("etc")));
    assert!(directory.path().join("var/new").exists());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    assert_eq!(summary.implicit, [b"etc".to_vec(), b"var".to_vec()]);
}

#[test]
fn what_a_layer_makes_and_whites_out_itself_is_kept_but_hides_what_is_below() {
    for whiteout_first in [true, false] {
        let tar = Tar::new();
        let tar = if whiteout_first { tar.file(".wh.d", b"") } else { tar };
        let tar = tar.directory("d").file("d/mine", b"x");
        let tar = if whiteout_first { tar } else { tar.file(".wh.d", b"") };
        let directory = TempDir::new().unwrap();
        unpack_into(directory.path(), &tar.end(), Whiteouts::Overlay);
        assert!(directory.path().join("d/mine").exists());
        assert!(is_opaque(&directory.path().join("d")));
    }
}

#[test]
fn a_parent_that_was_whited_out_is_made_anew_and_opaque() {
    let archive = Tar::new().file(".wh.d", b"").file("d/sub/mine", b"x").end();
    let directory = TempDir::new().unwrap();
    unpack_into(directory.path(), &archive, Whiteouts::Overlay);
    assert!(directory.path().join("d/sub/mine").exists());
    assert!(is_opaque(&directory.path().join("d")));
}

#[test]
fn whiteouts_delete_what_was_there_where_nothing_lies_below() {
    let directory = TempDir::new().unwrap();
    let lower = Tar::new().file("a/old", b"").file("b/old/x", b"").file("c", b"").end();
    unpack_into(directory.path(), &lower, Whiteouts::Nothing);
    let upper = Tar::new()
        .file("b/new/y", b"")
        .file("b/.wh..wh..opq", b"")
        .file("a/.wh.old", b"")
        .file("c", b"new")
        .file(".wh.c", b"")
        .file(".wh.absent", b"")
        .end();
    unpack_into(directory.path(), &upper, Whiteouts::Delete);
    let exists = |name: &str| directory.path().join(name).exists();
    assert!(exists("b/new/y") && exists("c") && exists("a"));
    assert!(!exists("b/old") && !exists("a/old"));
}

#[test]
fn implied_directories_take_their_attributes_from_the_nearest_layer_that_has_them() {
    let (lowest, middle, upper) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let archive = Tar::new().mode(b'5', "a", 0o700, b"").mode(b'5', "a/b", 0o1777, b"").end();
    unpack_into(lowest.path(), &archive, Whiteouts::Nothing);
    let archive = Tar::new().mode(b'5', "a", 0o711, b"").file("w/.wh.x", b"").end();
    unpack_into(middle.path(), &archive, Whiteouts::Overlay);
    let archive = Tar::new().file("a/b/c/file", b"").hard_link("h", "a/none").end();
    let mut summary = unpack_into(upper.path(), &archive, Whiteouts::Overlay);
    assert_eq!(summary.missing_links.len(), 1);
    summary.missing_links.clear();
    let lower = [middle.path().to_owned(), lowest.path().to_owned()];
    adopt(&summary, &File::open(upper.path()).unwrap().into(), &lower).unwrap();
    let mode = |name: &str| upper.path().join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("a/b"), mode("a/b/c")), (0o711, 0o1777, 0o755));
    let mtime = upper.path().join("a/b").metadata().unwrap().mtime();
    assert_eq!(mtime, 1_600_000_000);
}

#[test]
fn hard_links_into_a_lower_layer_bring_their_target_up() {
    let (lower, upper) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    unpack_into(
        lower.path(),
        &Tar::new().mode(b'0', "bin/tool", 0o4711, b"tool").end(),
        Whiteouts::Nothing,
    );
    let archive = Tar::new().hard_link("usr/tool", "bin/tool").end();
    let summary = unpack_into(upper.path(), &archive, Whiteouts::Overlay);
    let root = File::open(upper.path()).unwrap().into();
    adopt(&summary, &root, &[lower.path().to_owned()]).unwrap();
    let metadata = upper.path().join("usr/tool").metadata().unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.len()), (0o4711, 4));
    let nowhere = TempDir::new().unwrap();
    assert!(adopt(&summary, &root, &[nowhere.path().to_owned()]).is_err());
}

#[test]
fn a_wrong_diff_id_is_told_after_the_whole_stream() {
    let archive = Tar::new().file("f", b"x").end();
    let directory = TempDir::new().unwrap();
    let target = || File::open(directory.path()).unwrap().into();
    let limits = Limits::default();
    let right = unpack(&archive[..], target(), Whiteouts::Nothing, &limits, None).unwrap();
    assert_eq!(right.archive_bytes, archive.len() as u64);
    unpack(&archive[..], target(), Whiteouts::Nothing, &limits, Some(&right.diff_id)).unwrap();
    let longer = [&archive[..], &[0; 512]].concat();
    let wrong = unpack(&longer[..], target(), Whiteouts::Nothing, &limits, Some(&right.diff_id));
    assert!(wrong.unwrap_err().to_string().starts_with("wrong diff id"));
}

/// What a tree looks like: type, mode, owner, times, content or target, and who shares an inode.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut first_name = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        let content = if metadata.is_file() {
            format!("{:?}", fs::read(&path).unwrap())
        } else if metadata.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else {
            String::new()
        };
        if metadata.is_dir() {
            let mut names: Vec<_> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            todo.extend(names.into_iter().rev());
        }
        let inode: &PathBuf = first_name.entry(metadata.ino()).or_insert_with(|| relative.clone());
        found.insert(
            relative.clone(),
            format!(
                "{:o} {}:{} {} {} {} {content}",
                metadata.mode(),
                metadata.uid(),
                metadata.gid(),
                if relative.as_os_str().is_empty() { 0 } else { metadata.mtime() },
                if metadata.is_dir() { 0 } else { metadata.nlink() },
                inode.display(),
            ),
        );
    }
    found
}

/// A tree that GNU tar packs and both unpack.
#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>, u32),
    Sparse(u64),
    Symlink(String),
    Link,
    Directory(u32),
    Fifo,
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        (prop::collection::vec(any::<u8>(), 0..2000), 0_u32..0o10000)
            .prop_map(|(data, mode)| Node::File(data, mode)),
        (1_u64..2_000_000).prop_map(Node::Sparse),
        "[a-z./]{1,120}".prop_map(Node::Symlink),
        Just(Node::Link),
        (0o700_u32..0o10000).prop_map(|mode| Node::Directory(mode | 0o700)),
        Just(Node::Fifo),
    ]
}

fn grow(root: &Path, nodes: &[(String, Node)]) {
    use std::os::unix::fs::PermissionsExt;
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for (name, node) in nodes {
        let path = root.join(name);
        if path.symlink_metadata().is_ok() || fs::create_dir_all(path.parent().unwrap()).is_err() {
            continue;
        }
        match node {
            Node::File(data, mode) => {
                if fs::write(&path, data).is_ok() {
                    chmod(&path, *mode);
                    files.push(path);
                }
            }
            Node::Sparse(size) => {
                let file = File::create(&path).unwrap();
                std::os::unix::fs::FileExt::write_at(&file, b"end", *size).unwrap();
            }
            Node::Symlink(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
            Node::Link => {
                if let Some(target) = files.last() {
                    fs::hard_link(target, &path).unwrap();
                }
            }
            Node::Directory(mode) => {
                fs::create_dir(&path).unwrap();
                chmod(&path, *mode);
            }
            Node::Fifo => {
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_packed_by_gnu_tar_is_unpacked_as_gnu_tar_unpacks_it(
        nodes in prop::collection::vec(("[a-c]{1,2}(/[a-c]{1,130}){0,3}", node()), 0..20),
        format in prop::sample::select(vec!["gnu", "pax"]),
        sparse in any::<bool>(),
    ) {
        let (from, theirs, ours) =
            (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
        grow(from.path(), &nodes);
        let mut tar = Command::new("tar");
        tar.args(["-c", "--numeric-owner", &format!("--format={format}")]);
        if sparse {
            tar.arg("--sparse");
        }
        let packed = tar.arg("-C").arg(from.path()).arg(".").output().unwrap();
        prop_assert!(packed.status.success());
        let archive = from.path().join("archive.tar");
        fs::write(&archive, &packed.stdout).unwrap();
        let unpacked = Command::new("tar")
            .args(["-x", "-p", "--numeric-owner", "-f"]).arg(&archive)
            .arg("-C").arg(theirs.path()).status().unwrap();
        prop_assert!(unpacked.success());
        let summary = unpack_into(ours.path(), &packed.stdout, Whiteouts::Overlay);
        prop_assert!(summary.implicit.is_empty());
        prop_assert_eq!(tree(theirs.path()), tree(ours.path()));
    }

    #[test]
    fn random_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..3000)) {
        let directory = TempDir::new().unwrap();
        let target = File::open(directory.path()).unwrap().into();
        let _ = unpack(&data[..], target, Whiteouts::Overlay, &Limits::default(), None);
    }

    #[test]
    fn flipped_bytes_never_panic_or_escape(place in 0_usize..4096, value in any::<u8>()) {
        let mut archive = Tar::new()
            .pax(&[("path", b"p/q"), ("SCHILY.xattr.user.a", b"v"), ("size", b"3")])
            .file("f", b"abc")
            .symlink("s", "..")
            .hard_link("h", "p/q")
            .file("s/.wh.x", b"")
            .end();
        let place = place % archive.len();
        archive[place] = value;
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("in")).unwrap();
        let target = File::open(directory.path().join("in")).unwrap().into();
        let _ = unpack(&archive[..], target, Whiteouts::Overlay, &Limits::default(), None);
        prop_assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
