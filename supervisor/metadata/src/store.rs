//! Reading and changing records.
//!
//! ```text
//!           read: overlay, then index           change: one transaction at a time
//!                    │                                       │
//!   overlay   ephemeral (stay) · lazy (wait) · durable (in flight)      + journal (tmpfs)
//!                    │  all but the ephemeral, in one commit for everybody who waits
//!   index     redb, fsync
//! ```

mod committer;
mod overlay;
mod transaction;

pub use transaction::Transaction;

use crate::index::{Index, IndexError, RedbIndex};
use crate::record::{Record, SnapshotRecord};
use base_errors::{Classify, Kind};
use committer::Committer;
use overlay::Overlay;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Where the records are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The index file, `metadata.redb`.
    pub index: PathBuf,
    /// The supervisor's state directory.
    pub state: PathBuf,
    /// Directories of files that only the index describes. While one holds anything, an index
    /// that is missing is a loss, and not a new beginning in which they would be swept away.
    pub described: Vec<PathBuf>,
}

/// Why a record could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error("{noun} {name:?}: not found")]
    NotFound {
        /// The sort of record.
        noun: &'static str,
        /// Its name.
        name: String,
    },
    /// There is one of this name.
    #[error("{noun} {name:?}: already exists")]
    AlreadyExists {
        /// The sort of record.
        noun: &'static str,
        /// Its name.
        name: String,
    },
    /// The name is empty or has a zero byte.
    #[error("invalid {noun} name {name:?}")]
    Name {
        /// The sort of record.
        noun: &'static str,
        /// The name.
        name: String,
    },
    /// A stored record is damaged.
    #[error("decode {noun} {name:?}")]
    Decode {
        /// The sort of record.
        noun: &'static str,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: prost::DecodeError,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The change could not be made durable.
    #[error("commit metadata")]
    Commit(#[source] Arc<IndexError>),
    /// The journal failed.
    #[error("metadata journal in {path}")]
    Journal {
        /// The state directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store is being closed.
    #[error("metadata store is closed")]
    Closed,
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::AlreadyExists { .. } => Kind::AlreadyExists,
            Self::Name { .. } => Kind::InvalidArgument,
            Self::Decode { .. } => Kind::DataLoss,
            Self::Index(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::Journal { source, .. } => match Kind::from_io(source) {
                Kind::ResourceExhausted => Kind::ResourceExhausted,
                _ => Kind::Internal,
            },
            Self::Closed => Kind::Unavailable,
        }
    }
}

/// All records. Cheap to clone; dropping the last clone commits what waits.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    _committer: Arc<Committer>,
}

/// What transactions and the committing thread share.
struct Shared {
    index: Box<dyn Index>,
    overlay: Mutex<Overlay>,
    wake: std::sync::Condvar,
    state: PathBuf,
    next_number: AtomicU64,
}

impl Shared {
    fn overlay(&self) -> MutexGuard<'_, Overlay> {
        // A panic inside a transaction leaves the overlay as it was before.
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens or creates the store and replays what a killed supervisor left in its journal.
    ///
    /// # Errors
    /// The index is in use, damaged, lost or of a later format, or the journal cannot be read.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let index = RedbIndex::open(&config.index, &config.described)?;
        Self::over(Box::new(index), &config.state)
    }

    /// A store over any index.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn over(index: Box<dyn Index>, state: &Path) -> Result<Self, Error> {
        let overlay = Overlay::open(index.as_ref(), state)?;
        let shared = Arc::new(Shared {
            index,
            overlay: Mutex::new(overlay),
            wake: std::sync::Condvar::new(),
            state: state.to_owned(),
            next_number: AtomicU64::new(1),
        });
        let committer = Arc::new(Committer::start(Arc::clone(&shared)));
        let store = Self { shared, _committer: committer };
        for (_, snapshot) in store.list_everywhere::<SnapshotRecord>()? {
            store.avoid_snapshot_number(snapshot.number);
        }
        Ok(store)
    }

    /// The record of this key.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn get<R: Record>(&self, namespace: &str, key: &str) -> Result<R, Error> {
        self.find(namespace, key)?.ok_or_else(|| not_found::<R>(key))
    }

    /// The record of this key, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find<R: Record>(&self, namespace: &str, key: &str) -> Result<Option<R>, Error> {
        let bytes = match self.shared.overlay().get(&full_key::<R>(namespace, key)) {
            Some(value) => value.map(<[u8]>::to_vec),
            None => self.shared.index.get(&full_key::<R>(namespace, key))?,
        };
        bytes.map(|bytes| decode::<R>(key, &bytes)).transpose()
    }

    /// All records of a namespace, by key.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn list<R: Record>(&self, namespace: &str) -> Result<Vec<R>, Error> {
        self.list_below(namespace, "")
    }

    /// The records of a namespace whose keys start with `prefix`.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn list_below<R: Record>(&self, namespace: &str, prefix: &str) -> Result<Vec<R>, Error> {
        let merged = self.merged(&full_key::<R>(namespace, prefix))?;
        merged
            .into_iter()
            .map(|(key, value)| decode_at::<R>(&key, &value).map(|(_, r)| r))
            .collect()
    }

    /// All records of all namespaces, each with its namespace.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn list_everywhere<R: Record>(&self) -> Result<Vec<(String, R)>, Error> {
        let merged = self.merged(&[R::TABLE])?;
        merged.into_iter().map(|(key, value)| decode_at::<R>(&key, &value)).collect()
    }

    /// Changes records: all that `change` did, or, where it fails, nothing. Answers once the
    /// change survives what its records' classes say.
    ///
    /// `change` runs at once and on this thread, one at a time for the whole store: it must
    /// neither block nor use the store but through its argument.
    ///
    /// # Errors
    /// What `change` answers; or the change could not be written, and was not made.
    pub async fn update<T, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (answer, commit) = self.stage(change)?;
        if let Some(commit) = commit {
            commit.await.unwrap_or(Err(Error::Closed))?;
        }
        Ok(answer)
    }

    /// [`update`](Self::update) for threads that may block.
    ///
    /// # Errors
    /// As `update`.
    pub fn update_blocking<T, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (answer, commit) = self.stage(change)?;
        if let Some(commit) = commit {
            commit.blocking_recv().unwrap_or(Err(Error::Closed))?;
        }
        Ok(answer)
    }

    /// Makes everything lazy durable now.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn flush(&self) -> Result<(), Error> {
        let commit = self.shared.overlay().wait_for_commit();
        self.shared.wake.notify_one();
        commit.await.unwrap_or(Err(Error::Closed))
    }

    /// A number that no snapshot has or had since the store was opened.
    #[must_use]
    pub fn next_snapshot_number(&self) -> u64 {
        self.shared.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Never hands out this number or one below it: a directory of that name exists.
    pub fn avoid_snapshot_number(&self, number: u64) {
        self.shared.next_number.fetch_max(number.saturating_add(1), Ordering::Relaxed);
    }

    /// Runs a change and stages what it wrote; the receiver is there when a commit is due.
    #[expect(clippy::type_complexity, reason = "the answer and the commit, used twice above")]
    fn stage<T, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<(T, Option<oneshot::Receiver<Result<(), Error>>>), E> {
        let mut overlay = self.shared.overlay();
        let mut transaction = Transaction::new(self.shared.index.as_ref(), &overlay);
        let answer = change(&mut transaction)?;
        let staged = transaction.into_staged();
        let commit = overlay.stage(staged).map_err(|source| {
            E::from(Error::Journal { path: self.shared.state.clone(), source })
        })?;
        drop(overlay);
        // A lazy change too: the thread then starts to count its second.
        self.shared.wake.notify_one();
        Ok((answer, commit))
    }

    fn merged(&self, prefix: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
        // The overlay first: what moves to the index meanwhile is then seen twice, never missed.
        let above = self.shared.overlay().below(prefix);
        merge(self.shared.index.as_ref(), prefix, above)
    }
}

/// The index's records under changes that lie above it.
fn merge(
    index: &dyn Index,
    prefix: &[u8],
    above: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let mut records = BTreeMap::new();
    index.scan(prefix, &mut |key, value| {
        records.insert(key.to_vec(), value.to_vec());
    })?;
    for (key, value) in above {
        match value {
            Some(value) => records.insert(key, value),
            None => records.remove(&key),
        };
    }
    Ok(records)
}

/// `table, namespace, NUL, key`.
fn full_key<R: Record>(namespace: &str, key: &str) -> Vec<u8> {
    let mut full = Vec::with_capacity(2 + namespace.len() + key.len());
    full.push(R::TABLE);
    full.extend_from_slice(namespace.as_bytes());
    full.push(0);
    full.extend_from_slice(key.as_bytes());
    full
}

fn decode<R: Record>(key: &str, bytes: &[u8]) -> Result<R, Error> {
    R::decode(bytes).map_err(|source| Error::Decode { noun: R::NOUN, name: readable(key), source })
}

fn decode_at<R: Record>(full: &[u8], bytes: &[u8]) -> Result<(String, R), Error> {
    let text = String::from_utf8_lossy(full.get(1..).unwrap_or_default());
    let (namespace, key) = text.split_once('\0').unwrap_or(("", &text));
    Ok((namespace.to_owned(), decode(key, bytes)?))
}

fn not_found<R: Record>(key: &str) -> Error {
    Error::NotFound { noun: R::NOUN, name: readable(key) }
}

/// A key as people see it: the last part says it best.
fn readable(key: &str) -> String {
    key.rsplit('\0').next().unwrap_or(key).to_owned()
}

#[cfg(test)]
mod tests;
