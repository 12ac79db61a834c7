use super::*;
use crate::index::MemoryIndex;
use contracts_supervisor_api::types::Descriptor;

const NOW: i64 = 1_000_000;

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn blob(digest: &str, pairs: &[(&str, &str)]) -> content::Info {
    content::Info { digest: digest.to_owned(), labels: labels(pairs), ..Default::default() }
}

fn image(name: &str, digest: &str) -> Image {
    let target = Some(Descriptor { digest: digest.to_owned(), ..Default::default() });
    Image { name: name.to_owned(), target, ..Default::default() }
}

fn snapshot(number: u64, name: &str, parent: &str, kind: Kind, age: i64) -> SnapshotRecord {
    SnapshotRecord {
        snapshotter: "overlayfs".to_owned(),
        name: name.to_owned(),
        parent: parent.to_owned(),
        kind: kind.into(),
        number,
        created_at: Some(Timestamp { seconds: NOW - age, nanos: 0 }),
        ..Default::default()
    }
}

fn store() -> (Store, tempfile::TempDir) {
    let state = tempfile::tempdir().unwrap();
    (Store::over(Box::new(MemoryIndex::default()), state.path()).unwrap(), state)
}

fn change(
    store: &Store,
    change: impl FnOnce(&mut Transaction<'_>) -> Result<(), Error>,
) -> Garbage {
    store.update_blocking(change).unwrap();
    store.update_blocking(|tx| remove_unreachable(tx, NOW)).unwrap()
}

#[test]
fn an_image_keeps_what_its_labels_lead_to_until_it_is_deleted() {
    let (store, _state) = store();
    let garbage = change(&store, |tx| {
        tx.insert("a", &image("i", "manifest"))?;
        tx.insert("a", &blob("manifest", &[("containerd.io/gc.ref.content.config", "config")]))?;
        tx.insert("a", &blob("config", &[("containerd.io/gc.ref.snapshot.overlayfs", "top")]))?;
        tx.insert("a", &blob("stray", &[]))?;
        tx.insert("a", &blob("pinned", &[(GC_ROOT, "1")]))?;
        tx.insert("b", &blob("config", &[]))?;
        tx.insert("a", &snapshot(1, "base", "", Kind::Committed, 9_999))?;
        tx.insert("a", &snapshot(2, "top", "base", Kind::Committed, 9_999))?;
        tx.insert("a", &snapshot(3, "other", "base", Kind::Committed, 9_999))
    });
    // The config's record in `b` goes, its file stays for `a`.
    let expected =
        Garbage { blobs: vec!["stray".into()], snapshots: vec![3], ..Garbage::default() };
    assert_eq!(garbage, expected);
    assert!(store.find::<content::Info>("b", "config").unwrap().is_none());

    let garbage = change(&store, |tx| tx.remove::<Image>("a", "i").map(drop));
    assert_eq!(garbage.blobs, ["config", "manifest"]);
    assert_eq!(garbage.snapshots, [2, 1], "children go first");
}

#[test]
fn containers_and_new_active_snapshots_are_kept() {
    let (store, _state) = store();
    let garbage = change(&store, |tx| {
        tx.insert("a", &snapshot(1, "base", "", Kind::Committed, 9_999))?;
        tx.insert("a", &snapshot(2, "used", "base", Kind::Active, 9_999))?;
        tx.insert("a", &snapshot(3, "new", "", Kind::Active, 1))?;
        tx.insert("a", &snapshot(4, "forgotten", "", Kind::Active, 9_999))?;
        let container = Container {
            id: "c".to_owned(),
            snapshotter: "overlayfs".to_owned(),
            snapshot_key: "used".to_owned(),
            ..Default::default()
        };
        tx.insert("a", &container)
    });
    assert_eq!(garbage.snapshots, [4]);
}

#[test]
fn layers_that_only_a_container_keeps_are_told_of() {
    let (store, _state) = store();
    let garbage = change(&store, |tx| {
        tx.insert("a", &image("i", "m"))?;
        tx.insert("a", &blob("m", &[("containerd.io/gc.ref.snapshot.overlayfs", "layer")]))?;
        tx.insert("a", &snapshot(1, "layer", "", Kind::Committed, 9_999))?;
        let mut own = snapshot(2, "own", "layer", Kind::Active, 9_999);
        own.labels.insert(GC_ROOT.to_owned(), "1".to_owned());
        tx.insert("a", &own)
    });
    assert_eq!(garbage, Garbage::default(), "the image keeps its layer");
    let garbage = change(&store, |tx| tx.remove::<Image>("a", "i").map(drop));
    assert!(garbage.snapshots.is_empty() && garbage.awaits_snapshot, "{garbage:?}");
    let own = SnapshotRecord::key_of("overlayfs", "own");
    let garbage = change(&store, |tx| tx.remove::<SnapshotRecord>("a", &own).map(drop));
    assert_eq!((garbage.snapshots.as_slice(), garbage.awaits_snapshot), (&[1][..], false));
}

#[test]
fn leases_keep_resources_until_they_expire_and_flat_ones_nothing_below() {
    let (store, _state) = store();
    let lease = |id: &str, pairs: &[(&str, &str)]| Lease {
        id: id.to_owned(),
        labels: labels(pairs),
        ..Default::default()
    };
    let garbage = change(&store, |tx| {
        tx.insert("a", &lease("whole", &[]))?;
        tx.insert("a", &lease("flat", &[(GC_FLAT, "1")]))?;
        tx.insert("a", &lease("past", &[(GC_EXPIRE, "1970-01-02T00:00:00Z")]))?;
        for (lease, digest) in [("whole", "w"), ("flat", "f"), ("past", "p")] {
            tx.add_to_lease("a", lease, "content", digest)?;
            let below = format!("{digest}-below");
            tx.insert("a", &blob(digest, &[("containerd.io/gc.ref.content.0", &below)]))?;
            tx.insert("a", &blob(&below, &[]))?;
        }
        Ok(())
    });
    assert_eq!(garbage.blobs, ["f-below", "p", "p-below"]);
    assert!(store.find::<Lease>("a", "past").unwrap().is_none());
    assert!(store.list::<LeaseResource>("a").unwrap().iter().all(|kept| kept.lease != "past"));
}

#[test]
fn a_flat_lease_keeps_what_its_resources_cannot_be_without() {
    let (store, _state) = store();
    let garbage = change(&store, |tx| {
        let labels = labels(&[(GC_FLAT, "1")]);
        tx.insert("a", &Lease { id: "flat".to_owned(), labels, ..Default::default() })?;
        let mut top = snapshot(2, "top", "base", Kind::Committed, 9_999);
        top.labels.insert("containerd.io/gc.ref.content".to_owned(), "c".to_owned());
        tx.insert("a", &snapshot(1, "base", "", Kind::Committed, 9_999))?;
        tx.insert("a", &top)?;
        tx.insert("a", &blob("c", &[]))?;
        let mut expired = image("i", "target");
        expired.labels.insert(GC_EXPIRE.to_owned(), "1970-01-02T00:00:00Z".to_owned());
        tx.insert("a", &expired)?;
        tx.insert("a", &blob("target", &[]))?;
        tx.add_to_lease("a", "flat", "images", "i")?;
        tx.add_to_lease("a", "flat", "snapshots/overlayfs", "top")
    });
    let expected = Garbage { blobs: vec!["c".to_owned()], ..Garbage::default() };
    assert_eq!(garbage, expected);
}

#[test]
fn back_references_keep_who_carries_them_as_long_as_what_they_name() {
    let (store, _state) = store();
    let garbage = change(&store, |tx| {
        let root = &[(GC_ROOT, "1")];
        tx.insert("a", &Container { id: "c".to_owned(), ..Default::default() })?;
        tx.insert("a", &image("i", "target"))?;
        tx.insert("a", &blob("target", &[]))?;
        tx.insert("a", &blob("pinned", root))?;
        let mut pinned = snapshot(1, "s", "", Kind::Committed, 9_999);
        pinned.labels = labels(root);
        tx.insert("a", &pinned)?;
        for (digest, label, value) in [
            ("of-container", "containerd.io/gc.bref.container", "c"),
            ("of-image", "containerd.io/gc.bref.image.0", "i"),
            ("of-content", "containerd.io/gc.bref.content/x", "pinned"),
            ("of-snapshot", "containerd.io/gc.bref.snapshot.overlayfs/x", "s"),
            ("of-back", "containerd.io/gc.bref.content", "of-image"),
            ("of-none", "containerd.io/gc.bref.container", "none"),
            ("of-other", "containerd.io/gc.bref.snapshot.native", "s"),
            ("of-typo", "containerd.io/gc.bref.images", "i"),
        ] {
            tx.insert("a", &blob(digest, &[(label, value)]))?;
        }
        Ok(())
    });
    assert_eq!(garbage.blobs, ["of-none", "of-other", "of-typo"]);
    let garbage = change(&store, |tx| tx.remove::<Image>("a", "i").map(drop));
    assert_eq!(garbage.blobs, ["of-back", "of-image", "target"]);
}

#[test]
fn an_image_expires_unless_something_else_keeps_it() {
    let (store, _state) = store();
    let expiring = |name: &str, when: &str, label: &[(&str, &str)]| {
        let mut image = image(name, name);
        image.labels = labels(label);
        image.labels.insert(GC_EXPIRE.to_owned(), when.to_owned());
        image
    };
    let past = "1970-01-02T00:00:00Z";
    let garbage = change(&store, |tx| {
        tx.insert("a", &image("forever", "forever"))?;
        tx.insert("a", &expiring("past", past, &[]))?;
        tx.insert("a", &expiring("future", "2100-01-01T00:00:00Z", &[]))?;
        tx.insert("a", &expiring("never", "tomorrow", &[]))?;
        let back = [("containerd.io/gc.bref.image", "forever")];
        tx.insert("a", &expiring("attached", past, &back))?;
        for digest in ["forever", "past", "future", "never", "attached"] {
            tx.insert("a", &blob(digest, &[]))?;
        }
        Ok(())
    });
    assert_eq!(garbage.images, [("a".to_owned(), "past".to_owned())]);
    assert_eq!(garbage.blobs, ["past"]);
    assert!(store.find::<Image>("a", "past").unwrap().is_none());
}
