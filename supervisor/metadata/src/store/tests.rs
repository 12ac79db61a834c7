use super::*;
use crate::LeaseResource;
use crate::index::MemoryIndex;
use crate::record::Class;
use contracts_supervisor_api::labels::{EPHEMERAL, GC_EXPIRE, GC_ROOT};
use contracts_supervisor_api::services::containers::Container;
use contracts_supervisor_api::services::images::Image;
use contracts_supervisor_api::services::leases::Lease;
use contracts_supervisor_api::services::namespaces::Namespace;

/// A memory index that outlives its store, and fails on request.
#[derive(Clone, Default)]
struct Disk(Arc<DiskState>);

#[derive(Default)]
struct DiskState {
    records: MemoryIndex,
    broken: std::sync::atomic::AtomicBool,
}

impl Index for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.0.records.get(key)
    }
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), IndexError> {
        self.0.records.scan(prefix, visit)
    }
    fn apply(&self, changes: &[crate::index::Change]) -> Result<(), IndexError> {
        if self.0.broken.load(Ordering::Relaxed) {
            let error = redb::Error::Io(io::Error::other("disk on fire"));
            return Err(IndexError::Write(Box::new(error)));
        }
        self.0.records.apply(changes)
    }
}

impl Disk {
    fn store(&self, state: &Path) -> Store {
        Store::over(Box::new(self.clone()), state).unwrap()
    }
    fn has(&self, record: &impl Record) -> bool {
        fn key_of<R: Record>(record: &R) -> Vec<u8> {
            full_key::<R>("moby", &record.key())
        }
        self.0.records.get(&key_of(record)).unwrap().is_some()
    }
}

fn container(id: &str, ephemeral: bool) -> Container {
    let mut container = Container { id: id.to_owned(), ..Container::default() };
    if ephemeral {
        container.labels.insert(EPHEMERAL.to_owned(), "true".to_owned());
    }
    container
}

fn insert<R: Record>(store: &Store, record: &R) -> Result<(), Error> {
    store.update_blocking(|tx| tx.insert("moby", record))
}

fn remove<R: Record>(store: &Store, key: &str) -> Result<R, Error> {
    store.update_blocking(|tx| tx.remove::<R>("moby", key))
}

/// Leaves the store as SIGKILL would: its committing thread never gets to finish.
fn kill(store: Store) {
    std::mem::forget(store);
}

#[test]
fn an_ephemeral_container_never_reaches_the_index_and_survives_a_kill() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    store
        .update_blocking(|tx| tx.put("", &Namespace { name: "moby".into(), ..Default::default() }))
        .unwrap();
    insert(&store, &container("a", true)).unwrap();
    assert!(matches!(insert(&store, &container("a", false)), Err(Error::AlreadyExists { .. })));
    assert!(!disk.has(&container("a", true)));
    kill(store);

    let store = disk.store(state.path());
    assert_eq!(store.list::<Container>("moby").unwrap().len(), 1);
    remove::<Container>(&store, "a").unwrap();
    kill(store);
    assert!(disk.store(state.path()).find::<Container>("moby", "a").unwrap().is_none());
    assert!(!disk.has(&container("a", true)));
}

#[test]
fn a_durable_container_is_in_the_index_once_answered() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    insert(&store, &container("a", false)).unwrap();
    assert!(disk.has(&container("a", false)));
    assert_eq!(store.list_everywhere::<Container>().unwrap()[0].0, "moby");
    assert_eq!(store.get::<Namespace>("", "moby").unwrap().name, "moby");
}

#[test]
fn a_lazy_record_survives_a_kill_and_is_durable_with_the_next_commit() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    let active = SnapshotRecord {
        name: "k".into(),
        snapshotter: "o".into(),
        number: 7,
        ..Default::default()
    };
    insert(&store, &active).unwrap();
    kill(store);
    let store = disk.store(state.path());
    assert_eq!(store.next_snapshot_number(), 8);
    insert(&store, &container("a", false)).unwrap();
    assert!(disk.has(&active));
    remove::<SnapshotRecord>(&store, &active.key()).unwrap();
    drop(store);
    assert!(!disk.has(&active), "a closed store has written everything");
}

#[test]
fn an_active_snapshot_that_is_a_root_is_durable_at_once() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    let mut active =
        SnapshotRecord { name: "k".into(), snapshotter: "o".into(), ..Default::default() };
    active.labels.insert(GC_ROOT.to_owned(), "2026-01-01T00:00:00Z".to_owned());
    insert(&store, &active).unwrap();
    assert!(disk.has(&active));
}

#[test]
fn a_failed_change_leaves_nothing_behind() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    let refused = store.update_blocking(|tx| {
        tx.insert("moby", &container("a", true))?;
        assert!(tx.find::<Container>("moby", "a")?.is_some());
        tx.remove::<Image>("moby", "none")
    });
    assert_eq!(refused.unwrap_err().to_string(), "image \"none\": not found");
    assert!(store.find::<Container>("moby", "a").unwrap().is_none());

    disk.0.broken.store(true, Ordering::Relaxed);
    assert!(matches!(insert(&store, &container("b", false)), Err(Error::Commit(_))));
    assert!(store.find::<Container>("moby", "b").unwrap().is_none());
}

#[test]
fn a_journal_that_fails_half_way_leaves_nothing_of_the_change() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    insert(&store, &container("first", true)).unwrap();
    // The second entry from now on has its place taken.
    let journal = journal(state.path());
    let last = numbers(&journal).into_iter().max().unwrap();
    std::fs::create_dir(journal.join((last + 2).to_string())).unwrap();
    let refused = store.update_blocking(|tx| {
        tx.insert("moby", &container("a", true))?;
        tx.insert("moby", &container("b", true))
    });
    assert!(matches!(refused, Err(Error::Journal { .. })), "{refused:?}");
    std::fs::remove_dir(journal.join((last + 2).to_string())).unwrap();
    assert_eq!(store.list::<Container>("moby").unwrap().len(), 1);
    kill(store);
    assert_eq!(disk.store(state.path()).list::<Container>("moby").unwrap().len(), 1);
}

#[test]
fn a_failed_commit_brings_back_what_was_there_before() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    let mut active =
        SnapshotRecord { name: "k".into(), snapshotter: "o".into(), ..Default::default() };
    insert(&store, &active).unwrap();
    insert(&store, &container("c", true)).unwrap();
    disk.0.broken.store(true, Ordering::Relaxed);
    let committed = SnapshotRecord {
        name: "n".into(),
        kind: contracts_supervisor_api::services::snapshots::Kind::Committed.into(),
        ..active.clone()
    };
    let commit = store.update_blocking(|tx| {
        tx.remove::<SnapshotRecord>("moby", &active.key())?;
        tx.insert("moby", &committed)
    });
    assert!(matches!(commit, Err(Error::Commit(_))));
    active.labels.insert(GC_ROOT.to_owned(), "now".to_owned());
    assert!(store.update_blocking(|tx| tx.put("moby", &active)).is_err());
    assert!(store.update_blocking(|tx| tx.put("moby", &container("c", false))).is_err());
    let check = |store: &Store| {
        let snapshots: Vec<SnapshotRecord> = store.list("moby").unwrap();
        assert_eq!((snapshots.len(), snapshots[0].name.as_str()), (1, "k"));
        assert!(snapshots[0].labels.is_empty());
        let container: Container = store.get("moby", "c").unwrap();
        assert_eq!(container.class(), Class::Ephemeral);
    };
    check(&store);
    kill(store);
    disk.0.broken.store(false, Ordering::Relaxed);
    check(&disk.store(state.path()));
}

#[test]
fn journal_entries_that_outlive_their_commit_bring_nothing_back() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    let active = SnapshotRecord { name: "k".into(), snapshotter: "o".into(), ..Default::default() };
    insert(&store, &active).unwrap();
    insert(&store, &container("c", true)).unwrap();
    let journal = journal(state.path());
    let before: Vec<_> = numbers(&journal)
        .into_iter()
        .map(|number| journal.join(number.to_string()))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    assert!(before.len() >= 2);
    store
        .update_blocking(|tx| {
            tx.put("moby", &container("c", false))?;
            tx.remove::<SnapshotRecord>("moby", &active.key()).map(drop)
        })
        .unwrap();
    // As after a kill between the commit and the removal of the entries.
    kill(store);
    for (path, content) in before {
        std::fs::write(path, content).unwrap();
    }
    let store = disk.store(state.path());
    assert!(store.list::<SnapshotRecord>("moby").unwrap().is_empty());
    assert_eq!(store.get::<Container>("moby", "c").unwrap().class(), Class::Durable);
    remove::<Container>(&store, "c").unwrap();
    drop(store);
    assert!(disk.store(state.path()).list::<Container>("moby").unwrap().is_empty());
}

#[test]
fn entries_are_numbered_on_after_a_restart() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let active = SnapshotRecord { name: "k".into(), snapshotter: "o".into(), ..Default::default() };
    let store = disk.store(state.path());
    insert(&store, &active).unwrap();
    drop(store);
    let store = disk.store(state.path());
    remove::<SnapshotRecord>(&store, &active.key()).unwrap();
    kill(store);
    assert!(disk.store(state.path()).list::<SnapshotRecord>("moby").unwrap().is_empty());
}

/// The journal's directory of this boot.
fn journal(state: &Path) -> PathBuf {
    std::fs::read_dir(state.join("journal")).unwrap().next().unwrap().unwrap().path()
}

fn numbers(journal: &Path) -> Vec<u64> {
    let names = std::fs::read_dir(journal).unwrap();
    names.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
}

#[test]
fn records_between_two_classes_are_never_lost_nor_back_from_the_dead() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    insert(&store, &container("a", false)).unwrap();
    store.update_blocking(|tx| tx.put("moby", &container("a", true))).unwrap();
    remove::<Container>(&store, "a").unwrap();
    drop(store);
    assert!(!disk.has(&container("a", false)));

    let store = disk.store(state.path());
    insert(&store, &container("a", true)).unwrap();
    store.update_blocking(|tx| tx.put("moby", &container("a", false))).unwrap();
    assert!(disk.has(&container("a", false)));
    remove::<Container>(&store, "a").unwrap();
    drop(store);
    assert!(disk.store(state.path()).find::<Container>("moby", "a").unwrap().is_none());
}

#[test]
fn many_writers_share_commits() {
    let state = tempfile::tempdir().unwrap();
    let index = RedbIndex::open(&state.path().join("metadata.redb"), &[]).unwrap();
    let store = Store::over(Box::new(index), state.path()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..10 {
                    insert(store, &container(&format!("{writer}-{number}"), false)).unwrap();
                }
            });
        }
    });
    assert_eq!(store.list::<Container>("moby").unwrap().len(), 80);
}

#[test]
fn a_resource_of_an_expiring_lease_is_as_ephemeral_as_the_lease() {
    let (disk, state) = (Disk::default(), tempfile::tempdir().unwrap());
    let store = disk.store(state.path());
    let mut lease = Lease { id: "l".into(), ..Lease::default() };
    lease.labels.insert(GC_EXPIRE.to_owned(), "2030-01-01T00:00:00Z".to_owned());
    insert(&store, &lease).unwrap();
    store.update_blocking(|tx| tx.add_to_lease("moby", "l", "content", "sha256:x")).unwrap();
    let found: Vec<LeaseResource> = store.list_below("moby", &LeaseResource::prefix("l")).unwrap();
    assert_eq!(found[0].class(), Class::Ephemeral);
    assert!(store.update_blocking(|tx| tx.add_to_lease("moby", "m", "content", "x")).is_err());
}
