//! The ordered map of bytes on disk that records are kept in, behind a trait of three verbs.

mod memory;
mod redb;

pub use memory::MemoryIndex;
pub use redb::RedbIndex;

use base_errors::{Classify, Kind};
use std::path::PathBuf;

/// One change: the new value of a key, or its removal.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// An ordered map of bytes on disk.
pub trait Index: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// The disk failed, or its data is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Calls `visit` for every key that starts with `prefix`, in order.
    ///
    /// # Errors
    /// The disk failed, or its data is damaged.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), IndexError>;

    /// Makes all changes or none, and answers once they would survive power loss.
    ///
    /// # Errors
    /// The disk failed; nothing has changed.
    fn apply(&self, changes: &[Change]) -> Result<(), IndexError>;
}

/// Why the index could not be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It could not be opened.
    #[error("open metadata index {path}")]
    Open {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<::redb::Error>,
    },
    /// It was written by a later version.
    #[error(
        "metadata index {path} has format {found}, this version knows {known}; use the version \
         that wrote it"
    )]
    Format {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        found: u64,
        /// What we know.
        known: u64,
    },
    /// A read failed.
    #[error("read metadata index")]
    Read(#[source] Box<::redb::Error>),
    /// A write failed.
    #[error("write metadata index")]
    Write(#[source] Box<::redb::Error>),
}

impl Classify for IndexError {
    fn kind(&self) -> Kind {
        match self {
            Self::Format { .. } => Kind::FailedPrecondition,
            Self::Open { source, .. } | Self::Read(source) | Self::Write(source) => {
                match source.as_ref() {
                    ::redb::Error::Corrupted(_) => Kind::DataLoss,
                    ::redb::Error::Io(error) => Kind::from_io(error),
                    _ => Kind::Internal,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obeys_the_contract(index: &dyn Index) {
        let put = |key: &str, value: &str| (key.into(), Some(value.as_bytes().to_vec()));
        index.apply(&[put("a1", "x"), put("a2", "y"), put("b", "z")]).unwrap();
        assert_eq!(index.get(b"a1").unwrap().unwrap(), b"x");
        index.apply(&[put("a1", "new"), (b"a2".to_vec(), None), (b"none".to_vec(), None)]).unwrap();
        assert_eq!(index.get(b"a2").unwrap(), None);
        let mut seen = Vec::new();
        index.scan(b"a", &mut |key, value| seen.push((key.to_vec(), value.to_vec()))).unwrap();
        assert_eq!(seen, [(b"a1".to_vec(), b"new".to_vec())]);
    }

    #[test]
    fn every_index_gets_scans_and_applies_alike() {
        obeys_the_contract(&MemoryIndex::default());
        let directory = tempfile::tempdir().unwrap();
        obeys_the_contract(&RedbIndex::open(&directory.path().join("m.redb")).unwrap());
    }

    #[test]
    fn a_redb_index_keeps_its_records_and_refuses_a_second_opening() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.redb");
        let index = RedbIndex::open(&path).unwrap();
        index.apply(&[(b"k".to_vec(), Some(b"v".to_vec()))]).unwrap();
        assert!(RedbIndex::open(&path).is_err());
        drop(index);
        assert_eq!(RedbIndex::open(&path).unwrap().get(b"k").unwrap().unwrap(), b"v");
    }
}
