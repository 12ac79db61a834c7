//! Snapshots as overlayfs layers: `snapshots/<number>/{fs,work}`.
//!
//! A directory is there before its record. A record goes before its directory, which is first
//! renamed to `removed-<number>` and then deleted by the [`reaper`]; so a crash at any point
//! leaves either a whole snapshot or something that the next start deletes.

mod mounts;
mod reaper;
mod staged;

pub use staged::{StageError, Staged};

use crate::snapshotter::{NewSnapshot, SnapshotError, Snapshotter};
use crate::usage;
use contracts_supervisor_api::FieldMask;
use contracts_supervisor_api::services::snapshots::{Info, Kind, UsageResponse};
use contracts_supervisor_api::types::Mount;
use reaper::Reaper;
use rustix::fs::{CWD, Mode, OFlags};
use std::collections::HashSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use supervisor_content::labels::{self, Labels};
use supervisor_metadata::filter::Filters;
use supervisor_metadata::gc::{Garbage, Sweep};
use supervisor_metadata::{SnapshotRecord, Store, Transaction};

/// The snapshotter's name, containerd's.
pub const NAME: &str = "overlayfs";

/// The record of a removed snapshot is gone, its directory is not.
const UNLISTED: &base_faults::Step = base_faults::step("supervisor.rm.snapshot-unlisted");

/// How many snapshots may stand on each other: what overlayfs stacks (`OVL_MAX_STACK`).
const MAX_PARENTS: usize = 500;

/// The overlay snapshotter. Cheap to clone.
#[derive(Clone)]
pub struct Overlay {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    records: Store,
    /// Numbers whose directories have no record yet.
    coming: Mutex<HashSet<u64>>,
    reaper: Reaper,
}

impl Overlay {
    /// Opens the snapshots below `root`, and has the rests of a crash deleted.
    ///
    /// # Errors
    /// The directory cannot be made or read, or the records cannot be.
    pub fn open(root: &Path, records: Store) -> Result<Self, SnapshotError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(SnapshotError::io("make the directory of snapshots"))?;
        let reaper = Reaper::start(root).map_err(SnapshotError::io("start the reaper"))?;
        let shared = Shared { root: root.to_owned(), records, coming: Mutex::default(), reaper };
        let overlay = Self { shared: Arc::new(shared) };
        overlay.forget_lost()?;
        overlay.sweep()?;
        Ok(overlay)
    }

    /// The directory of a snapshot's own layer.
    pub(crate) fn layer_path(&self, number: u64) -> PathBuf {
        self.shared.root.join(number.to_string()).join("fs")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Whether there is a committed snapshot of this name.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn has(&self, namespace: &str, name: &str) -> Result<bool, SnapshotError> {
        let record = self.find(namespace, name)?;
        Ok(record.is_some_and(|record| record.kind() == Kind::Committed))
    }

    fn find(&self, namespace: &str, key: &str) -> Result<Option<SnapshotRecord>, SnapshotError> {
        Ok(self.shared.records.find(namespace, &SnapshotRecord::key_of(NAME, key))?)
    }

    fn get(&self, namespace: &str, key: &str) -> Result<SnapshotRecord, SnapshotError> {
        self.find(namespace, key)?.ok_or_else(|| SnapshotError::NotFound(key.to_owned()))
    }

    /// The layers of a committed snapshot and those below it, nearest first.
    pub(crate) fn layers(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<PathBuf>, SnapshotError> {
        let mut layers = Vec::new();
        let mut next = name.to_owned();
        while !next.is_empty() {
            if layers.len() == MAX_PARENTS {
                return Err(SnapshotError::TooManyParents(name.to_owned()));
            }
            let record = self
                .find(namespace, &next)?
                .ok_or_else(|| SnapshotError::NoParent(next.clone()))?;
            if record.kind() != Kind::Committed {
                return Err(SnapshotError::ParentNotCommitted(next));
            }
            layers.push(self.layer_path(record.number));
            next = record.parent;
        }
        Ok(layers)
    }

    fn make(
        &self,
        namespace: &str,
        new: NewSnapshot<'_>,
        kind: Kind,
    ) -> Result<Vec<Mount>, SnapshotError> {
        labels::check(new.labels)?;
        let layers = self.layers(namespace, new.parent)?;
        if self.find(namespace, new.key)?.is_some() {
            return Err(SnapshotError::Exists(new.key.to_owned()));
        }
        let coming = Coming::new(self);
        let directory = self.make_directory(coming.number, kind, layers.first())?;
        let record = record(new, kind, coming.number);
        let inserted = self.shared.records.update_blocking(|records| {
            if !new.parent.is_empty() {
                find_committed(records, namespace, new.parent)?;
            }
            insert(records, namespace, &record, new.lease)
        });
        if let Err(error) = inserted {
            self.shared.reaper.remove(coming.number);
            return Err(error);
        }
        Ok(mounts::of(&record, &directory, &layers))
    }

    /// Makes `<number>/{fs,work}`; the root of the layer belongs to whom its parent's does.
    fn make_directory(
        &self,
        number: u64,
        kind: Kind,
        parent: Option<&PathBuf>,
    ) -> Result<PathBuf, SnapshotError> {
        let directory = self.shared.root.join(number.to_string());
        let layer = directory.join("fs");
        let make = || {
            fs::DirBuilder::new().mode(0o700).create(&directory)?;
            fs::DirBuilder::new().mode(0o755).create(&layer)?;
            // Whatever the umask is.
            fs::set_permissions(&layer, fs::Permissions::from_mode(0o755))?;
            if let Some(parent) = parent {
                let owner = fs::metadata(parent)?;
                if (owner.uid(), owner.gid()) != (0, 0) {
                    std::os::unix::fs::chown(&layer, Some(owner.uid()), Some(owner.gid()))?;
                }
            }
            if kind == Kind::Active {
                fs::DirBuilder::new().mode(0o700).create(directory.join("work"))?;
            }
            Ok(())
        };
        make().map_err(|source| {
            self.shared.reaper.remove(number);
            SnapshotError::Io { step: "make snapshot directory", source }
        })?;
        Ok(directory)
    }

    /// Makes everything that was written to the snapshots' file system survive power loss.
    fn sync(&self) -> Result<(), SnapshotError> {
        let root = open_directory(&self.shared.root)?;
        rustix::fs::syncfs(&root).map_err(SnapshotError::kernel("sync the snapshots"))
    }

    fn coming(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.shared.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A removed record can come back by power loss; its directory does not.
    fn forget_lost(&self) -> Result<(), SnapshotError> {
        let records = &self.shared.records;
        let mut lost = records.list_everywhere::<SnapshotRecord>()?;
        lost.retain(|(_, record)| {
            record.snapshotter == NAME && !self.layer_path(record.number).exists()
        });
        if lost.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            count = lost.len(),
            "records of snapshots without a directory are forgotten"
        );
        records.update_blocking(|records| {
            for (namespace, record) in &lost {
                let key = SnapshotRecord::key_of(NAME, &record.name);
                records.remove::<SnapshotRecord>(namespace, &key)?;
            }
            Ok(())
        })
    }

    /// Has every directory without a record deleted.
    fn sweep(&self) -> Result<(), SnapshotError> {
        let coming = self.coming();
        let all = self.shared.records.list_everywhere::<SnapshotRecord>()?;
        let known: HashSet<u64> = all.iter().map(|(_, record)| record.number).collect();
        let entries =
            fs::read_dir(&self.shared.root).map_err(SnapshotError::io("list the snapshots"))?;
        for entry in entries {
            let name = entry.map_err(SnapshotError::io("list the snapshots"))?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Ok(number) = name.parse::<u64>() {
                self.shared.records.avoid_snapshot_number(number);
                if !known.contains(&number) && !coming.contains(&number) {
                    self.shared.reaper.remove(number);
                }
            } else if let Some(number) = reaper::removed_number(name) {
                self.shared.records.avoid_snapshot_number(number);
                self.shared.reaper.remove(number);
            }
        }
        Ok(())
    }
}

impl Snapshotter for Overlay {
    fn name(&self) -> &'static str {
        NAME
    }

    fn stat(&self, namespace: &str, key: &str) -> Result<Info, SnapshotError> {
        self.get(namespace, key).map(info)
    }

    fn update(
        &self,
        namespace: &str,
        key: &str,
        requested: &Labels,
        mask: Option<&FieldMask>,
    ) -> Result<Info, SnapshotError> {
        self.shared.records.update_blocking(|records| {
            let mut record = find(records, namespace, key)?
                .ok_or_else(|| SnapshotError::NotFound(key.to_owned()))?;
            labels::update(&mut record.labels, requested, mask)?;
            record.updated_at = Some(supervisor_metadata::now());
            records.put(namespace, &record)?;
            Ok(info(record))
        })
    }

    fn usage(&self, namespace: &str, key: &str) -> Result<UsageResponse, SnapshotError> {
        let record = self.get(namespace, key)?;
        if record.kind() == Kind::Active {
            let layer = open_directory(&self.layer_path(record.number))?;
            return usage::of(&layer).map_err(SnapshotError::kernel("count the snapshot's files"));
        }
        Ok(UsageResponse { size: record.size, inodes: record.inodes })
    }

    fn mounts(&self, namespace: &str, key: &str) -> Result<Vec<Mount>, SnapshotError> {
        let record = self.get(namespace, key)?;
        if record.kind() == Kind::Committed {
            return Err(SnapshotError::Committed(key.to_owned()));
        }
        let layers = self.layers(namespace, &record.parent)?;
        let directory = self.shared.root.join(record.number.to_string());
        mounts::forget_volatile(&record, &directory);
        Ok(mounts::of(&record, &directory, &layers))
    }

    fn prepare(&self, namespace: &str, new: NewSnapshot<'_>) -> Result<Vec<Mount>, SnapshotError> {
        self.make(namespace, new, Kind::Active)
    }

    fn view(&self, namespace: &str, new: NewSnapshot<'_>) -> Result<Vec<Mount>, SnapshotError> {
        self.make(namespace, new, Kind::View)
    }

    fn commit(
        &self,
        namespace: &str,
        key: &str,
        new: NewSnapshot<'_>,
    ) -> Result<(), SnapshotError> {
        labels::check(new.labels)?;
        let active = self.get(namespace, key)?;
        if active.kind() != Kind::Active {
            return Err(SnapshotError::NotActive(key.to_owned()));
        }
        let layer = open_directory(&self.layer_path(active.number))?;
        let usage =
            usage::of(&layer).map_err(SnapshotError::kernel("count the snapshot's files"))?;
        self.sync()?;
        self.shared.records.update_blocking(|records| {
            let active = find(records, namespace, key)?
                .filter(|active| active.kind() == Kind::Active)
                .ok_or_else(|| SnapshotError::NotActive(key.to_owned()))?;
            if key != new.key && find(records, namespace, new.key)?.is_some() {
                return Err(SnapshotError::Exists(new.key.to_owned()));
            }
            records.remove::<SnapshotRecord>(namespace, &SnapshotRecord::key_of(NAME, key))?;
            let committed = SnapshotRecord {
                size: usage.size,
                inodes: usage.inodes,
                ..record(
                    NewSnapshot { parent: &active.parent, ..new },
                    Kind::Committed,
                    active.number,
                )
            };
            insert(records, namespace, &committed, new.lease)
        })
    }

    fn remove(&self, namespace: &str, key: &str) -> Result<(), SnapshotError> {
        let number = self.shared.records.update_blocking(|records| {
            let record = find(records, namespace, key)?
                .ok_or_else(|| SnapshotError::NotFound(key.to_owned()))?;
            if record.kind() == Kind::Committed && has_children(records, namespace, key)? {
                return Err(SnapshotError::HasChildren(key.to_owned()));
            }
            records.remove::<SnapshotRecord>(namespace, &SnapshotRecord::key_of(NAME, key))?;
            Ok(record.number)
        })?;
        base_faults::reach(UNLISTED);
        self.shared.reaper.remove(number);
        Ok(())
    }

    fn list(&self, namespace: &str, filters: &Filters) -> Result<Vec<Info>, SnapshotError> {
        let prefix = SnapshotRecord::key_of(NAME, "");
        let records: Vec<SnapshotRecord> = self.shared.records.list_below(namespace, &prefix)?;
        Ok(records.into_iter().filter(|record| filters.matches(record)).map(info).collect())
    }

    fn cleanup(&self) -> Result<(), SnapshotError> {
        self.sweep()?;
        self.shared.reaper.wait().map_err(SnapshotError::io("remove snapshots"))
    }
}

#[tonic::async_trait]
impl Sweep for Overlay {
    /// A number is never used again, so whatever has it may go.
    async fn sweep(&self, garbage: &Garbage) {
        for number in &garbage.snapshots {
            self.shared.reaper.remove(*number);
        }
    }
}

/// A number whose directory is being made; the sweeper leaves it alone meanwhile.
struct Coming<'a> {
    overlay: &'a Overlay,
    number: u64,
}

impl<'a> Coming<'a> {
    fn new(overlay: &'a Overlay) -> Self {
        let number = overlay.shared.records.next_snapshot_number();
        overlay.coming().insert(number);
        Self { overlay, number }
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.overlay.coming().remove(&self.number);
    }
}

fn record(new: NewSnapshot<'_>, kind: Kind, number: u64) -> SnapshotRecord {
    let now = Some(supervisor_metadata::now());
    SnapshotRecord {
        snapshotter: NAME.to_owned(),
        name: new.key.to_owned(),
        parent: new.parent.to_owned(),
        kind: kind.into(),
        number,
        labels: new.labels.clone(),
        created_at: now,
        updated_at: now,
        size: 0,
        inodes: 0,
    }
}

fn find(
    records: &Transaction<'_>,
    namespace: &str,
    key: &str,
) -> Result<Option<SnapshotRecord>, SnapshotError> {
    Ok(records.find(namespace, &SnapshotRecord::key_of(NAME, key))?)
}

fn find_committed(
    records: &Transaction<'_>,
    namespace: &str,
    parent: &str,
) -> Result<SnapshotRecord, SnapshotError> {
    let record = find(records, namespace, parent)?
        .ok_or_else(|| SnapshotError::NoParent(parent.to_owned()))?;
    if record.kind() == Kind::Committed {
        Ok(record)
    } else {
        Err(SnapshotError::ParentNotCommitted(parent.to_owned()))
    }
}

fn insert(
    records: &mut Transaction<'_>,
    namespace: &str,
    record: &SnapshotRecord,
    lease: Option<&str>,
) -> Result<(), SnapshotError> {
    if find(records, namespace, &record.name)?.is_some() {
        return Err(SnapshotError::Exists(record.name.clone()));
    }
    if let Some(lease) = lease {
        records.add_to_lease(namespace, lease, &format!("snapshots/{NAME}"), &record.name)?;
    }
    Ok(records.insert(namespace, record)?)
}

fn has_children(
    records: &Transaction<'_>,
    namespace: &str,
    name: &str,
) -> Result<bool, SnapshotError> {
    let prefix = SnapshotRecord::key_of(NAME, "");
    let all: Vec<SnapshotRecord> = records.list_below(namespace, &prefix)?;
    Ok(all.iter().any(|record| record.parent == name))
}

fn info(record: SnapshotRecord) -> Info {
    Info {
        name: record.name,
        parent: record.parent,
        kind: record.kind,
        created_at: record.created_at,
        updated_at: record.updated_at,
        labels: record.labels,
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, SnapshotError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(SnapshotError::kernel("open snapshot directory"))
}
