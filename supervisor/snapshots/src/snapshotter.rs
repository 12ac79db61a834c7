//! What every snapshotter can do.
//!
//! A snapshot is *active* (writable, being made), *committed* (never changes again, may have
//! children) or a *view* (an active one that nobody writes to). Active ones and views are found by
//! their key, committed ones by their name; both share one set of names in a namespace.
//!
//! ```text
//!    prepare ──▶ active ──commit──▶ committed ──prepare, view──▶ active, view
//!                  │                    │                             │
//!                  └──────remove────────┴─(no children left)──────────┘
//! ```
//!
//! Nobody but the caller mounts anything: `prepare`, `view` and `mounts` answer the mounts that
//! make the snapshot visible.

use base_errors::{Classify, Kind};
use contracts_supervisor_api::FieldMask;
use contracts_supervisor_api::services::snapshots::{Info, UsageResponse};
use contracts_supervisor_api::types::Mount;
use rustix::io::Errno;
use std::io;
use supervisor_content::labels::{LabelError, Labels};
use supervisor_metadata::filter::Filters;

/// What a new snapshot is called, stands on and carries.
#[derive(Clone, Copy, Debug)]
pub struct NewSnapshot<'a> {
    /// Key (active, view) or name (committed).
    pub key: &'a str,
    /// The committed snapshot that it stands on; empty for none.
    pub parent: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
    /// The lease that keeps it at first.
    pub lease: Option<&'a str>,
}

/// Layered file systems under names. Methods block.
pub trait Snapshotter: Send + Sync {
    /// The name that clients ask for it by.
    fn name(&self) -> &'static str;

    /// What is known about a snapshot.
    ///
    /// # Errors
    /// There is none of this name.
    fn stat(&self, namespace: &str, key: &str) -> Result<Info, SnapshotError>;

    /// Changes labels.
    ///
    /// # Errors
    /// There is no such snapshot, or the change is not allowed.
    fn update(
        &self,
        namespace: &str,
        key: &str,
        labels: &Labels,
        mask: Option<&FieldMask>,
    ) -> Result<Info, SnapshotError>;

    /// What it takes on disk, without its parents.
    ///
    /// # Errors
    /// There is none of this name, or its files cannot be counted.
    fn usage(&self, namespace: &str, key: &str) -> Result<UsageResponse, SnapshotError>;

    /// The mounts that make an active snapshot or view visible.
    ///
    /// # Errors
    /// There is none of this name, or it is committed.
    fn mounts(&self, namespace: &str, key: &str) -> Result<Vec<Mount>, SnapshotError>;

    /// Makes an active snapshot.
    ///
    /// # Errors
    /// The key is taken, or there is no such committed parent.
    fn prepare(&self, namespace: &str, new: NewSnapshot<'_>) -> Result<Vec<Mount>, SnapshotError>;

    /// Makes a view.
    ///
    /// # Errors
    /// As `prepare`.
    fn view(&self, namespace: &str, new: NewSnapshot<'_>) -> Result<Vec<Mount>, SnapshotError>;

    /// Makes the active snapshot `key` a committed one of another name; it survives power loss
    /// from then on. The new snapshot's parent is the old one's.
    ///
    /// # Errors
    /// The name is taken, or there is no such active snapshot.
    fn commit(&self, namespace: &str, key: &str, new: NewSnapshot<'_>)
    -> Result<(), SnapshotError>;

    /// Removes a snapshot; its files may go later.
    ///
    /// # Errors
    /// There is none of this name, or others stand on it.
    fn remove(&self, namespace: &str, key: &str) -> Result<(), SnapshotError>;

    /// The snapshots of a namespace that the filters select.
    ///
    /// # Errors
    /// The records cannot be read.
    fn list(&self, namespace: &str, filters: &Filters) -> Result<Vec<Info>, SnapshotError>;

    /// Waits until the files of removed snapshots are gone.
    ///
    /// # Errors
    /// Some cannot be removed.
    fn cleanup(&self) -> Result<(), SnapshotError>;
}

/// Why a snapshotter did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is no snapshot of this name.
    #[error("snapshot {0} does not exist: not found")]
    NotFound(String),
    /// There is no parent of this name.
    #[error("parent snapshot {0} does not exist: not found")]
    NoParent(String),
    /// The name is taken.
    #[error("snapshot {0:?}: already exists")]
    Exists(String),
    /// The parent is not committed.
    #[error("parent {0:?} is not committed snapshot: invalid argument")]
    ParentNotCommitted(String),
    /// More stand on each other than can be mounted.
    #[error("snapshot {0:?} stands on more than 500 others: failed precondition")]
    TooManyParents(String),
    /// Only an active snapshot can be committed.
    #[error("snapshot {0} is not active: failed precondition")]
    NotActive(String),
    /// A committed snapshot is not mounted itself.
    #[error("snapshot {0} is committed: failed precondition")]
    Committed(String),
    /// Others stand on it.
    #[error("cannot remove snapshot {0} with child: failed precondition")]
    HasChildren(String),
    /// No snapshotter of this name.
    #[error("snapshotter {0:?} not loaded: invalid argument")]
    NoSnapshotter(String),
    /// A mount is not one of ours.
    #[error("not a mount of a snapshot: {0}")]
    ForeignMount(String),
    /// Labels that are not allowed.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// The records failed.
    #[error(transparent)]
    Metadata(#[from] supervisor_metadata::Error),
    /// The file system refused a step.
    #[error("{step}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl SnapshotError {
    pub(crate) fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }

    pub(crate) fn kernel(step: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Io { step, source: errno.into() }
    }
}

impl Classify for SnapshotError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoParent(_) => Kind::NotFound,
            Self::Exists(_) => Kind::AlreadyExists,
            Self::NotActive(_)
            | Self::Committed(_)
            | Self::HasChildren(_)
            | Self::TooManyParents(_) => Kind::FailedPrecondition,
            Self::ParentNotCommitted(_)
            | Self::NoSnapshotter(_)
            | Self::ForeignMount(_)
            | Self::Labels(_) => Kind::InvalidArgument,
            Self::Metadata(error) => error.kind(),
            Self::Io { source, .. } => match Kind::from_io(source) {
                Kind::ResourceExhausted => Kind::ResourceExhausted,
                _ => Kind::Internal,
            },
        }
    }
}
