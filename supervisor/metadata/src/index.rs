//! The ordered map of bytes on disk that records are kept in, behind a trait of three verbs.

mod memory;
mod redb;

pub use memory::MemoryIndex;
pub use redb::RedbIndex;

use base_errors::{Classify, Kind};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// One change: the new value of a key, or its removal.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// An ordered map of bytes on disk.
pub trait Index: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// The disk failed, or its data is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Calls `visit` for every key that starts with `prefix`, in order; after an error of the
    /// disk that went away, perhaps from the first one again.
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
    /// What it holds is not what was written. Nothing was changed.
    #[error(
        "metadata index {path} is damaged and was left as it is: put a backup in its place, or \
         move it away together with the content and snapshots beside it, which only it describes, \
         to begin without images"
    )]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What was found.
        #[source]
        source: Box<::redb::Error>,
    },
    /// It is not there or empty, what it described is. Nothing was changed.
    #[error(
        "metadata index {path} is missing or empty, but {beside} is not, which only it describes: \
         put a backup of the index in its place, or move {beside} away to begin without images"
    )]
    Lost {
        /// Where it should be.
        path: PathBuf,
        /// What it described.
        beside: PathBuf,
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

impl IndexError {
    /// Tells damage from what else can keep a file from being opened.
    fn open(path: &Path, source: ::redb::Error) -> Self {
        use ::redb::Error::{Corrupted, Io, TableDoesNotExist, TableTypeMismatch};
        let (path, source) = (path.to_owned(), Box::new(source));
        match source.as_ref() {
            Corrupted(_) | TableDoesNotExist(_) | TableTypeMismatch { .. } => {
                Self::Damaged { path, source }
            }
            // No file of redb's at all, or cut short.
            Io(error)
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged { path, source }
            }
            _ => Self::Open { path, source },
        }
    }
}

impl Classify for IndexError {
    fn kind(&self) -> Kind {
        match self {
            Self::Damaged { .. } | Self::Lost { .. } => Kind::DataLoss,
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
        obeys_the_contract(&RedbIndex::open(&directory.path().join("m.redb"), &[]).unwrap());
    }

    #[test]
    fn a_redb_index_keeps_its_records_and_refuses_a_second_opening() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.redb");
        let index = RedbIndex::open(&path, &[]).unwrap();
        index.apply(&[(b"k".to_vec(), Some(b"v".to_vec()))]).unwrap();
        assert!(matches!(RedbIndex::open(&path, &[]), Err(IndexError::Open { .. })));
        drop(index);
        assert_eq!(RedbIndex::open(&path, &[]).unwrap().get(b"k").unwrap().unwrap(), b"v");
    }

    /// A whole index file of a few records.
    fn whole(path: &Path) -> Vec<u8> {
        let index = RedbIndex::open(path, &[]).unwrap();
        let changes: Vec<Change> = (0..200_u32)
            .map(|number| (number.to_be_bytes().to_vec(), Some(vec![number as u8; 100])))
            .collect();
        index.apply(&changes).unwrap();
        drop(index);
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_damaged_file_is_refused_with_what_to_do_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.redb");
        let whole = whole(&path);
        let no_index = b"no index at all".repeat(1000);
        let cut = whole[..whole.len() / 2].to_vec();
        for damaged in [no_index, cut, whole[..100].to_vec()] {
            std::fs::write(&path, &damaged).unwrap();
            let error = RedbIndex::open(&path, &[]).unwrap_err();
            assert!(matches!(error, IndexError::Damaged { .. }), "{error:?}");
            assert_eq!(error.kind(), Kind::DataLoss);
            assert!(error.to_string().contains("put a backup in its place"), "{error}");
            assert!(std::fs::read(&path).unwrap() == damaged, "the file has changed");
        }
    }

    #[test]
    fn wherever_a_byte_has_changed_no_record_is_lost_in_silence() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.redb");
        let whole = whole(&path);
        let mut refused = 0;
        // The header with its two roots closely, the pages at some places.
        let pages = (320..whole.len()).step_by(whole.len() / 60);
        for at in (0..320).step_by(4).chain(pages) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5a;
            std::fs::write(&path, &damaged).unwrap();
            let Ok(index) = RedbIndex::open(&path, &[]) else {
                refused += 1;
                continue;
            };
            for number in 0..200_u32 {
                let found = index.get(&number.to_be_bytes()).unwrap();
                assert_eq!(found, Some(vec![number as u8; 100]), "byte {at}");
            }
        }
        assert!(refused > 0, "no byte was of any use");
    }

    #[test]
    fn an_index_is_made_anew_only_where_nothing_depends_on_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.redb");
        let described = [directory.path().join("none"), directory.path().join("blobs")];
        std::fs::create_dir(&described[1]).unwrap();
        drop(RedbIndex::open(&path, &described).unwrap());
        std::fs::write(described[1].join("blob"), b"x").unwrap();
        drop(RedbIndex::open(&path, &described).unwrap());
        for lose in
            [|path: &Path| std::fs::remove_file(path), |path: &Path| std::fs::write(path, "")]
        {
            lose(&path).unwrap();
            let error = RedbIndex::open(&path, &described).unwrap_err();
            assert!(matches!(&error, IndexError::Lost { beside, .. } if *beside == described[1]));
            assert!(error.to_string().contains("put a backup"), "{error}");
            assert!(!path.exists() || std::fs::metadata(&path).unwrap().len() == 0);
        }
        std::fs::remove_file(described[1].join("blob")).unwrap();
        RedbIndex::open(&path, &described).unwrap();
    }
}
