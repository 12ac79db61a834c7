//! Layers that are unpacked before anybody can see them, in any order.

use super::{Coming, NAME, Overlay, find_committed, insert, open_directory, record};
use crate::extract::{Summary, adopt};
use crate::snapshotter::{NewSnapshot, SnapshotError};
use crate::usage;
use contracts_supervisor_api::services::snapshots::Kind;
use std::os::fd::OwnedFd;

const SYNCED: &base_faults::Step = base_faults::step("supervisor.pull.layer-synced");
const LISTED: &base_faults::Step = base_faults::step("supervisor.pull.layer-listed");

/// A directory that is to become a committed snapshot. Dropped before that, it is deleted.
pub struct Staged {
    overlay: Overlay,
    number: u64,
    done: bool,
}

impl Overlay {
    /// Makes an empty layer without a name.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn stage(&self) -> Result<Staged, SnapshotError> {
        let coming = Coming::new(self);
        let number = coming.number;
        // From here on it is the staged layer that keeps the number.
        std::mem::forget(coming);
        let staged = Staged { overlay: self.clone(), number, done: false };
        self.make_directory(number, Kind::Committed, None)?;
        Ok(staged)
    }
}

impl Staged {
    /// The layer's directory, to be unpacked into.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn directory(&self) -> Result<OwnedFd, SnapshotError> {
        open_directory(&self.overlay.layer_path(self.number))
    }

    /// Makes the unpacked layer the committed snapshot `new`, over its parent; it survives power
    /// loss from then on. False if there is such a snapshot by now; this layer is deleted then.
    ///
    /// # Errors
    /// There is no such parent, what the layer takes from those below cannot be had, or the disk
    /// failed.
    pub fn commit(
        mut self,
        namespace: &str,
        new: NewSnapshot<'_>,
        summary: &Summary,
    ) -> Result<bool, StageError> {
        let overlay = self.overlay.clone();
        let layers = overlay.layers(namespace, new.parent)?;
        let layer = self.directory()?;
        adopt(summary, &layer, &layers)?;
        let usage =
            usage::of(&layer).map_err(SnapshotError::kernel("count the snapshot's files"))?;
        overlay.sync()?;
        base_faults::reach(SYNCED);
        let mut record = record(new, Kind::Committed, self.number);
        record.size = usage.size;
        record.inodes = usage.inodes;
        let inserted = overlay.shared.records.update_blocking(|records| {
            if !new.parent.is_empty() {
                find_committed(records, namespace, new.parent)?;
            }
            insert(records, namespace, &record, new.lease)
        });
        match inserted {
            Ok(()) => {
                base_faults::reach(LISTED);
                self.done = true;
                Ok(true)
            }
            Err(SnapshotError::Exists(_)) => {
                if let Some(lease) = new.lease {
                    overlay.keep_with(namespace, new.key, lease)?;
                }
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Overlay {
    /// Has a lease keep a snapshot.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn keep_with(&self, namespace: &str, key: &str, lease: &str) -> Result<(), SnapshotError> {
        self.shared.records.update_blocking(|records| {
            Ok(records.add_to_lease(namespace, lease, &format!("snapshots/{NAME}"), key)?)
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.done {
            self.overlay.shared.reaper.remove(self.number);
        }
        self.overlay.coming().remove(&self.number);
    }
}

/// Why a staged layer did not become a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The snapshotter refused.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The layer needs something that the layers below do not have.
    #[error(transparent)]
    Layer(#[from] crate::extract::ExtractError),
}

impl base_errors::Classify for StageError {
    fn kind(&self) -> base_errors::Kind {
        match self {
            Self::Snapshot(error) => error.kind(),
            Self::Layer(error) => error.kind(),
        }
    }
}
