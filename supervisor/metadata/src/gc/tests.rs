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
    assert_eq!(garbage, Garbage { blobs: vec!["stray".into()], snapshots: vec![3] });
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
