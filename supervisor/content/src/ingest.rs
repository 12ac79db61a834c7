//! Blobs on their way in: `ingest/<hash of namespace/reference>/{ref,data,total,expected}`.
//!
//! An ingest is written by one writer at a time and survives its writer and the supervisor: who
//! opens the same reference again goes on where it ended. It becomes a blob only whole, verified
//! and synced.

use crate::blobs::{Blobs, make_private};
use crate::error::ContentError;
use base_ids::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The longest reference accepted.
const MAX_REFERENCE: usize = 4096;

const BEGUN: &base_faults::Step = base_faults::step("supervisor.pull.blob-begun");
const SYNCED: &base_faults::Step = base_faults::step("supervisor.pull.blob-synced");
const PUBLISHED: &base_faults::Step = base_faults::step("supervisor.pull.blob-published");

/// How long an ingest waits for who goes on with it, at least; containerd's is as long.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Bytes read at once of what an earlier writer left.
const RESUME_BUFFER: usize = 128 << 10;

/// How far an ingest has come.
#[derive(Clone, Debug)]
pub struct IngestStatus {
    /// Its reference, without the namespace.
    pub reference: String,
    /// Bytes written.
    pub offset: u64,
    /// Bytes announced; zero if unknown.
    pub total: u64,
    /// The announced digest.
    pub expected: Option<Digest>,
    /// When it was begun.
    pub started_at: SystemTime,
    /// When it was last written to.
    pub updated_at: SystemTime,
}

/// The ingests of all namespaces.
#[derive(Clone, Debug)]
pub(crate) struct Ingests {
    directory: PathBuf,
    locked: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Ingests {
    pub(crate) fn open(root: &Path) -> Result<Self, ContentError> {
        let directory = root.join("ingest");
        make_private(&directory).map_err(ContentError::io("make the directory of ingests"))?;
        let ingests = Self { directory, locked: Arc::default() };
        ingests.forget_old()?;
        Ok(ingests)
    }

    /// Removes ingests that nobody has written to for long, and those that were never begun.
    pub(crate) fn forget_old(&self) -> Result<(), ContentError> {
        let forget = || {
            for entry in fs::read_dir(&self.directory)? {
                let path = entry?.path();
                // Who holds the lock is writing.
                if let Some(_lock) = Lock::take(&self.locked, &path)
                    && is_old(&path)
                {
                    fs::remove_dir_all(&path)?;
                }
            }
            Ok(())
        };
        forget().map_err(ContentError::io("forget old ingests"))
    }

    /// Begins or resumes an ingest.
    pub(crate) fn writer(
        &self,
        namespace: &str,
        reference: &str,
        total: u64,
        expected: Option<&Digest>,
    ) -> Result<Ingest, ContentError> {
        let path = self.path(namespace, reference)?;
        let lock = Lock::take(&self.locked, &path)
            .ok_or_else(|| ContentError::Locked(reference.to_owned()))?;
        if !path.join("ref").exists() {
            begin(&path, namespace, reference, total, expected)
                .map_err(ContentError::io("begin ingest"))?;
            base_faults::reach(BEGUN);
        }
        let (file, hasher, offset) =
            resume(&path.join("data")).map_err(ContentError::io("resume ingest"))?;
        let mut status = read_status(&path, reference)?;
        status.offset = offset;
        if total > 0 {
            status.total = total;
        }
        if expected.is_some() {
            status.expected = expected.cloned();
        }
        let mut ingest = Ingest { path, file, hasher, status, torn: false, _lock: lock };
        if total > 0 && offset > total {
            // What an earlier writer left, who was told another length, cannot be the blob.
            ingest.restart()?;
        }
        Ok(ingest)
    }

    pub(crate) fn status(
        &self,
        namespace: &str,
        reference: &str,
    ) -> Result<IngestStatus, ContentError> {
        read_status(&self.path(namespace, reference)?, reference)
    }

    pub(crate) fn list(&self, namespace: &str) -> Result<Vec<IngestStatus>, ContentError> {
        let mut all = Vec::new();
        let entries = fs::read_dir(&self.directory).map_err(ContentError::io("list ingests"))?;
        for entry in entries {
            let path = entry.map_err(ContentError::io("list ingests"))?.path();
            // Those that end meanwhile are not listed.
            let Ok(name) = fs::read_to_string(path.join("ref")) else { continue };
            if let Some(reference) = name.strip_prefix(&format!("{namespace}/"))
                && let Ok(status) = read_status(&path, reference)
            {
                all.push(status);
            }
        }
        Ok(all)
    }

    pub(crate) fn abort(&self, namespace: &str, reference: &str) -> Result<(), ContentError> {
        match fs::remove_dir_all(self.path(namespace, reference)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ContentError::NoIngest(reference.to_owned()))
            }
            other => other.map_err(ContentError::io("abort ingest")),
        }
    }

    fn path(&self, namespace: &str, reference: &str) -> Result<PathBuf, ContentError> {
        if reference.is_empty() {
            return Err(ContentError::InvalidReference("it is empty"));
        }
        if reference.len() > MAX_REFERENCE {
            return Err(ContentError::InvalidReference("it is too long"));
        }
        let hash = Sha256::digest(format!("{namespace}/{reference}").as_bytes());
        Ok(self.directory.join(Digest::from_sha256(&hash.into()).hex()))
    }
}

/// The only writer of one ingest.
#[derive(Debug)]
pub struct Ingest {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    status: IngestStatus,
    /// A write failed half way: the file may hold more than was hashed.
    torn: bool,
    _lock: Lock,
}

impl Ingest {
    /// How far it has come.
    #[must_use]
    pub fn status(&self) -> &IngestStatus {
        &self.status
    }

    /// The digest of what was written so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from_sha256(&self.hasher.clone().finalize().into())
    }

    /// The file that grows, for readers that cannot wait for the end.
    #[must_use]
    pub fn data_path(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Appends.
    ///
    /// # Errors
    /// The disk is full or failed, or more comes than was announced.
    pub fn write(&mut self, data: &[u8]) -> Result<(), ContentError> {
        let end = self.status.offset + data.len() as u64;
        if self.status.total > 0 && end > self.status.total {
            return Err(ContentError::TooLong(self.status.reference.clone()));
        }
        self.check_whole()?;
        self.torn = true;
        self.file.write_all(data).map_err(ContentError::io("write blob"))?;
        self.torn = false;
        self.hasher.update(data);
        self.status.offset = end;
        self.status.updated_at = SystemTime::now();
        Ok(())
    }

    /// Throws away what was written.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn restart(&mut self) -> Result<(), ContentError> {
        let file = File::create(self.data_path()).map_err(ContentError::io("truncate ingest"))?;
        self.file = file;
        self.hasher = Sha256::new();
        self.status.offset = 0;
        self.torn = false;
        Ok(())
    }

    /// After a write that failed half way, only who opens the ingest again knows what it holds.
    fn check_whole(&self) -> Result<(), ContentError> {
        if self.torn { Err(ContentError::Torn(self.status.reference.clone())) } else { Ok(()) }
    }

    /// Announces or corrects length and digest.
    pub(crate) fn announce(&mut self, total: u64, expected: Option<Digest>) {
        if total > 0 {
            self.status.total = total;
        }
        if expected.is_some() {
            self.status.expected = expected;
        }
    }

    /// Verifies what was written and makes it a blob. The ingest is gone afterwards if that
    /// succeeded, or if its content proved wrong.
    pub(crate) fn publish(self, blobs: &Blobs) -> Result<(Digest, u64), ContentError> {
        self.check_whole()?;
        let (size, total) = (self.status.offset, self.status.total);
        if total > 0 && size != total {
            return Err(ContentError::WrongSize { actual: size, expected: total });
        }
        let digest = self.digest();
        if let Some(expected) = &self.status.expected
            && *expected != digest
        {
            self.discard();
            return Err(ContentError::WrongDigest {
                actual: digest.to_string(),
                expected: expected.to_string(),
            });
        }
        self.file.sync_all().map_err(ContentError::io("sync blob"))?;
        base_faults::reach(SYNCED);
        blobs.publish(&self.data_path(), &digest)?;
        base_faults::reach(PUBLISHED);
        self.discard();
        Ok((digest, size))
    }

    /// Removes the ingest.
    pub(crate) fn discard(&self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "an ingest stays behind");
        }
    }
}

/// The exclusive right to write to one ingest.
#[derive(Debug)]
struct Lock {
    locked: Arc<Mutex<HashSet<PathBuf>>>,
    path: PathBuf,
}

impl Lock {
    fn take(locked: &Arc<Mutex<HashSet<PathBuf>>>, path: &Path) -> Option<Self> {
        let mut set = locked.lock().unwrap_or_else(PoisonError::into_inner);
        set.insert(path.to_owned())
            .then(|| Self { locked: Arc::clone(locked), path: path.to_owned() })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// Whether nobody goes on with this ingest any more, or it was never begun.
fn is_old(path: &Path) -> bool {
    let written = fs::metadata(path.join("data")).and_then(|data| data.modified());
    let age = written.map(|written| written.elapsed().unwrap_or_default());
    !path.join("ref").exists() || age.is_ok_and(|age| age > LIFETIME)
}

/// `ref` comes last: a directory without it is no ingest yet.
fn begin(
    path: &Path,
    namespace: &str,
    reference: &str,
    total: u64,
    expected: Option<&Digest>,
) -> io::Result<()> {
    make_private(path)?;
    fs::write(path.join("data"), b"")?;
    if total > 0 {
        fs::write(path.join("total"), total.to_string())?;
    }
    if let Some(expected) = expected {
        fs::write(path.join("expected"), expected.as_str())?;
    }
    let unfinished = path.join("ref.new");
    fs::write(&unfinished, format!("{namespace}/{reference}"))?;
    fs::rename(unfinished, path.join("ref"))
}

/// Opens the data for appending and hashes what is there.
fn resume(data: &Path) -> io::Result<(File, Sha256, u64)> {
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(data)?;
    let mut hasher = Sha256::new();
    let mut offset = 0;
    if file.metadata()?.len() > 0 {
        let mut buffer = vec![0; RESUME_BUFFER];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                length => {
                    hasher.update(&buffer[..length]);
                    offset += length as u64;
                }
            }
        }
    }
    Ok((file, hasher, offset))
}

/// The digest of a small blob.
pub(crate) fn digest_of(data: &[u8]) -> Digest {
    Digest::from_sha256(&Sha256::digest(data).into())
}

fn read_status(path: &Path, reference: &str) -> Result<IngestStatus, ContentError> {
    let absent = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ContentError::NoIngest(reference.to_owned()),
        _ => ContentError::Io { step: "read ingest", source: error },
    };
    let begun = fs::metadata(path.join("ref")).map_err(absent)?;
    let data = fs::metadata(path.join("data")).map_err(absent)?;
    let text = |name: &str| fs::read_to_string(path.join(name)).ok();
    Ok(IngestStatus {
        reference: reference.to_owned(),
        offset: data.len(),
        total: text("total").and_then(|text| text.parse().ok()).unwrap_or(0),
        expected: text("expected").and_then(|text| text.parse().ok()),
        started_at: begun.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        updated_at: data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ingests_are_forgotten_unless_somebody_writes_to_them() {
        let root = tempfile::TempDir::new().unwrap();
        let ingests = Ingests::open(root.path()).unwrap();
        let mut writers: Vec<_> = ["old", "held", "new"]
            .map(|reference| ingests.writer("n", reference, 0, None).unwrap())
            .into();
        let past = SystemTime::now() - LIFETIME - Duration::from_secs(1);
        for writer in &writers[..2] {
            let data = File::options().write(true).open(writer.data_path()).unwrap();
            data.set_modified(past).unwrap();
        }
        fs::create_dir(root.path().join("ingest/never-begun")).unwrap();
        writers.remove(0);
        ingests.forget_old().unwrap();
        let mut left: Vec<_> =
            ingests.list("n").unwrap().into_iter().map(|status| status.reference).collect();
        left.sort();
        assert_eq!(left, ["held", "new"]);
        assert_eq!(fs::read_dir(root.path().join("ingest")).unwrap().count(), 2);
    }

    #[test]
    fn what_is_longer_than_the_blob_is_thrown_away() {
        let root = tempfile::TempDir::new().unwrap();
        let ingests = Ingests::open(root.path()).unwrap();
        let mut writer = ingests.writer("n", "r", 100, None).unwrap();
        writer.write(&[7; 50]).unwrap();
        drop(writer);
        assert_eq!(ingests.writer("n", "r", 60, None).unwrap().status().offset, 50);
        let writer = ingests.writer("n", "r", 40, None).unwrap();
        assert_eq!(writer.status().offset, 0);
        assert_eq!(fs::metadata(writer.data_path()).unwrap().len(), 0);
    }

    #[test]
    fn after_a_torn_write_nothing_is_published_until_the_ingest_is_opened_again() {
        let root = tempfile::TempDir::new().unwrap();
        let ingests = Ingests::open(root.path()).unwrap();
        let blobs = Blobs::open(root.path()).unwrap();
        let mut writer = ingests.writer("n", "r", 0, None).unwrap();
        writer.write(b"one").unwrap();
        let whole = std::mem::replace(&mut writer.file, File::open("/dev/null").unwrap());
        assert!(matches!(writer.write(b"two"), Err(ContentError::Io { .. })));
        writer.file = whole;
        assert!(matches!(writer.write(b"two"), Err(ContentError::Torn(_))));
        assert!(matches!(writer.publish(&blobs), Err(ContentError::Torn(_))));
        let writer = ingests.writer("n", "r", 0, None).unwrap();
        assert_eq!(writer.publish(&blobs).unwrap(), (digest_of(b"one"), 3));
    }
}
