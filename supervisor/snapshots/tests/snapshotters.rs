//! What every snapshotter must do, run on each that there is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use base_errors::{Classify, Kind as ErrorKind};
use contracts_supervisor_api::FieldMask;
use contracts_supervisor_api::services::snapshots::Kind;
use contracts_supervisor_api::types::Mount;
use std::fs;
use std::path::Path;
use supervisor_content::labels::Labels;
use supervisor_metadata::filter::Filters;
use supervisor_metadata::index::MemoryIndex;
use supervisor_metadata::{EPHEMERAL, Store};
use supervisor_snapshots::{NewSnapshot, Overlay, SnapshotError, Snapshotter};
use tempfile::TempDir;

const NS: &str = "test";

fn store(directory: &TempDir) -> Store {
    let state = directory.path().join("state");
    fs::create_dir_all(&state).unwrap();
    Store::over(Box::new(MemoryIndex::default()), &state).unwrap()
}

/// Runs a test of the contract on every snapshotter.
fn on_each(test: impl Fn(&dyn Snapshotter)) {
    let directory = TempDir::new().unwrap();
    let overlay = Overlay::open(&directory.path().join("snapshots"), store(&directory)).unwrap();
    test(&overlay);
}

fn new<'a>(key: &'a str, parent: &'a str, labels: &'a Labels) -> NewSnapshot<'a> {
    NewSnapshot { key, parent, labels, lease: None }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, SnapshotError>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Makes the committed snapshot `name`.
fn commit(snapshotter: &dyn Snapshotter, name: &str, parent: &str) {
    let none = Labels::new();
    snapshotter.prepare(NS, new("making", parent, &none)).unwrap();
    snapshotter.commit(NS, "making", new(name, "", &none)).unwrap();
}

fn option<'a>(mount: &'a Mount, key: &str) -> &'a str {
    mount.options.iter().find_map(|option| option.strip_prefix(key)).unwrap()
}

#[test]
fn a_snapshot_goes_from_prepared_to_committed_to_removed() {
    on_each(|snapshotter| {
        let some = labels(&[("a", "1")]);
        snapshotter.prepare(NS, new("k", "", &some)).unwrap();
        let info = snapshotter.stat(NS, "k").unwrap();
        assert_eq!((info.kind(), info.parent.as_str()), (Kind::Active, ""));
        assert_eq!(info.labels, some);
        snapshotter.commit(NS, "k", new("n", "", &Labels::new())).unwrap();
        assert_eq!(kind_of(snapshotter.stat(NS, "k")), ErrorKind::NotFound);
        assert_eq!(snapshotter.stat(NS, "n").unwrap().kind(), Kind::Committed);
        assert!(snapshotter.usage(NS, "n").unwrap().inodes >= 1);
        snapshotter.remove(NS, "n").unwrap();
        assert_eq!(kind_of(snapshotter.remove(NS, "n")), ErrorKind::NotFound);
        assert!(snapshotter.list(NS, &Filters::default()).unwrap().is_empty());
        snapshotter.cleanup().unwrap();
    });
}

#[test]
fn requests_that_cannot_be_are_refused_with_their_kind() {
    on_each(|snapshotter| {
        let none = Labels::new();
        commit(snapshotter, "base", "");
        snapshotter.prepare(NS, new("active", "base", &none)).unwrap();
        snapshotter.view(NS, new("view", "base", &none)).unwrap();
        let prepare = |key, parent| kind_of(snapshotter.prepare(NS, new(key, parent, &none)));
        assert_eq!(prepare("active", "base"), ErrorKind::AlreadyExists);
        assert_eq!(prepare("base", ""), ErrorKind::AlreadyExists);
        assert_eq!(prepare("x", "nowhere"), ErrorKind::NotFound);
        assert_eq!(prepare("x", "active"), ErrorKind::InvalidArgument);
        let commit = |key, name| kind_of(snapshotter.commit(NS, key, new(name, "", &none)));
        assert_eq!(commit("view", "n"), ErrorKind::FailedPrecondition);
        assert_eq!(commit("base", "n"), ErrorKind::FailedPrecondition);
        assert_eq!(commit("active", "base"), ErrorKind::AlreadyExists);
        assert_eq!(commit("nothing", "n"), ErrorKind::NotFound);
        assert_eq!(kind_of(snapshotter.mounts(NS, "base")), ErrorKind::FailedPrecondition);
        assert_eq!(kind_of(snapshotter.remove(NS, "base")), ErrorKind::FailedPrecondition);
        assert_eq!(kind_of(snapshotter.mounts("other", "active")), ErrorKind::NotFound);
        snapshotter.remove(NS, "active").unwrap();
        snapshotter.remove(NS, "view").unwrap();
        snapshotter.remove(NS, "base").unwrap();
    });
}

#[test]
fn labels_are_changed_by_mask() {
    on_each(|snapshotter| {
        snapshotter.prepare(NS, new("k", "", &labels(&[("a", "1"), ("b", "2")]))).unwrap();
        let mask = FieldMask { paths: vec!["labels.a".to_owned()] };
        let info = snapshotter.update(NS, "k", &labels(&[("a", "9")]), Some(&mask)).unwrap();
        assert_eq!(info.labels, labels(&[("a", "9"), ("b", "2")]));
        assert_eq!(snapshotter.stat(NS, "k").unwrap().labels, info.labels);
    });
}

#[test]
fn what_was_written_shows_in_the_children_and_nowhere_else() {
    on_each(|snapshotter| {
        let none = Labels::new();
        let mounted = |mounts: &[Mount], work: &dyn Fn(&Path)| {
            let at = TempDir::new().unwrap();
            mount_at(mounts, at.path());
            work(at.path());
            rustix::mount::unmount(at.path(), rustix::mount::UnmountFlags::empty()).unwrap();
        };
        let first = snapshotter.prepare(NS, new("k1", "", &none)).unwrap();
        mounted(&first, &|at| fs::write(at.join("one"), "1").unwrap());
        snapshotter.commit(NS, "k1", new("n1", "", &none)).unwrap();
        let second = snapshotter.prepare(NS, new("k2", "n1", &none)).unwrap();
        mounted(&second, &|at| {
            assert_eq!(fs::read_to_string(at.join("one")).unwrap(), "1");
            fs::remove_file(at.join("one")).unwrap();
            fs::write(at.join("two"), "2").unwrap();
        });
        snapshotter.commit(NS, "k2", new("n2", "", &none)).unwrap();
        for (parent, names) in [("n1", vec!["one"]), ("n2", vec!["two"])] {
            let view = snapshotter.view(NS, new("v", parent, &none)).unwrap();
            mounted(&view, &|at| {
                let found: Vec<_> =
                    fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                assert_eq!(found, names);
                assert!(fs::write(at.join("x"), "").is_err(), "a view is read-only");
            });
            snapshotter.remove(NS, "v").unwrap();
        }
    });
}

/// mount(8) with the mounts' own words.
fn mount_at(mounts: &[Mount], at: &Path) {
    let [mount] = mounts else { panic!("one mount, not {mounts:?}") };
    let mut command = std::process::Command::new("mount");
    let options = mount.options.join(",");
    if mount.r#type == "bind" {
        command.args(["-o", &options.replace("rbind", "bind"), &mount.source]);
    } else {
        command.args(["-t", &mount.r#type, "-o", &options, &mount.source]);
    }
    assert!(command.arg(at).status().unwrap().success(), "{mount:?}");
}

#[test]
fn overlay_answers_the_mounts_that_containerd_answers() {
    let directory = TempDir::new().unwrap();
    let overlay = Overlay::open(&directory.path().join("s"), store(&directory)).unwrap();
    let none = Labels::new();
    let [bind] = &overlay.prepare(NS, new("k", "", &none)).unwrap()[..] else { panic!() };
    assert_eq!(
        (bind.r#type.as_str(), &bind.options[..]),
        ("bind", &["rw".into(), "rbind".into()][..])
    );
    commit(&overlay, "n1", "");
    let [bind] = &overlay.view(NS, new("v", "n1", &none)).unwrap()[..] else { panic!() };
    assert_eq!((bind.r#type.as_str(), bind.options[0].as_str()), ("bind", "ro"));
    commit(&overlay, "n2", "n1");
    let [mount] = &overlay.prepare(NS, new("a", "n2", &none)).unwrap()[..] else { panic!() };
    assert_eq!(option(mount, "lowerdir=").split(':').count(), 2);
    assert!(option(mount, "workdir=").ends_with("/work"));
    assert_eq!(overlay.mounts(NS, "a").unwrap().as_slice(), std::slice::from_ref(mount));
    let ephemeral = labels(&[(EPHEMERAL, "true")]);
    let [mount] = &overlay.prepare(NS, new("e", "n2", &ephemeral)).unwrap()[..] else { panic!() };
    assert!(mount.options.iter().any(|option| option == "volatile"));
}

#[test]
fn an_ephemeral_snapshot_can_be_mounted_again() {
    let directory = TempDir::new().unwrap();
    let overlay = Overlay::open(&directory.path().join("s"), store(&directory)).unwrap();
    commit(&overlay, "n", "");
    let ephemeral = labels(&[(EPHEMERAL, "true")]);
    overlay.prepare(NS, new("e", "n", &ephemeral)).unwrap();
    for _ in 0..2 {
        let at = TempDir::new().unwrap();
        mount_at(&overlay.mounts(NS, "e").unwrap(), at.path());
        fs::write(at.path().join("x"), "").unwrap();
        rustix::mount::unmount(at.path(), rustix::mount::UnmountFlags::empty()).unwrap();
    }
}

#[test]
fn a_restart_deletes_what_has_no_record_and_forgets_what_has_no_directory() {
    let directory = TempDir::new().unwrap();
    let records = store(&directory);
    let root = directory.path().join("s");
    let none = Labels::new();
    let overlay = Overlay::open(&root, records.clone()).unwrap();
    commit(&overlay, "kept", "");
    let [lost] = &overlay.prepare(NS, new("lost", "", &none)).unwrap()[..] else { panic!() };
    fs::remove_dir_all(Path::new(&lost.source).parent().unwrap()).unwrap();
    drop(overlay);
    for orphan in ["77", "removed-78"] {
        fs::create_dir_all(root.join(orphan).join("fs/deep")).unwrap();
    }
    let overlay = Overlay::open(&root, records).unwrap();
    overlay.cleanup().unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    let names: Vec<_> =
        overlay.list(NS, &Filters::default()).unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["kept"]);
    let [fresh] = &overlay.prepare(NS, new("fresh", "", &none)).unwrap()[..] else { panic!() };
    assert!(fresh.source.ends_with("/79/fs"), "{}", fresh.source);
}

#[test]
fn a_staged_layer_is_nothing_until_it_is_committed() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("s");
    let overlay = Overlay::open(&root, store(&directory)).unwrap();
    let none = Labels::new();
    drop(overlay.stage().unwrap());
    overlay.cleanup().unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    let staged = overlay.stage().unwrap();
    overlay.cleanup().unwrap();
    assert!(overlay.list(NS, &Filters::default()).unwrap().is_empty());
    let summary = supervisor_snapshots::extract::Summary::default();
    assert!(staged.commit(NS, new("n", "", &none), &summary).unwrap());
    assert!(overlay.has(NS, "n").unwrap());
    let again = overlay.stage().unwrap();
    assert!(!again.commit(NS, new("n", "", &none), &summary).unwrap(), "there is one by now");
    let orphan = overlay.stage().unwrap();
    assert!(orphan.commit(NS, new("x", "nowhere", &none), &summary).is_err());
    overlay.cleanup().unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
}

#[test]
fn more_parents_than_can_be_stacked_are_refused_not_left_out() {
    on_each(|snapshotter| {
        let mut parent = String::new();
        for number in 0..501 {
            let name = format!("s{number}");
            let none = Labels::new();
            snapshotter.prepare(NS, new("making", &parent, &none)).unwrap();
            snapshotter.commit(NS, "making", new(&name, "", &none)).unwrap();
            parent = name;
        }
        let none = Labels::new();
        let refused = snapshotter.prepare(NS, new("too-deep", &parent, &none));
        assert_eq!(kind_of(refused), ErrorKind::FailedPrecondition);
    });
}
