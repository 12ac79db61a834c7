//! Blobs as namespaces see them: a file, and a record in each namespace that has it.
//!
//! Sharing is containerd's "shared" policy: who can name a blob's digest may have it, without
//! sending it again, but sees it only once it has said so.
//!
//! A file is there before its first record and goes after its last. What a crash leaves between
//! is put right when the store is opened.

use crate::blobs::Blobs;
use crate::error::ContentError;
use crate::ingest::{Ingest, IngestStatus, Ingests};
use crate::labels::{self, Labels};
use base_errors::Chain;
use base_ids::Digest;
use contracts_supervisor_api::FieldMask;
use contracts_supervisor_api::services::content::Info;
use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;
use supervisor_metadata::Store;
use supervisor_metadata::gc::{Garbage, Sweep};

/// The type of a blob among a lease's resources.
const LEASE_TYPE: &str = "content";

const LISTED: &base_faults::Step = base_faults::step("supervisor.pull.blob-listed");

/// All content. Cheap to clone; its methods block and belong on threads that may.
#[derive(Clone)]
pub struct ContentStore {
    blobs: Blobs,
    ingests: Ingests,
    records: Store,
    /// Held shared between a file's appearance and its record's, exclusively by who removes
    /// files without records.
    gate: Arc<RwLock<()>>,
}

impl ContentStore {
    /// Opens the content below `root`, and forgets what a crash left half done.
    ///
    /// # Errors
    /// The directories cannot be made or read, or the records cannot be.
    pub fn open(root: &Path, records: Store) -> Result<Self, ContentError> {
        let store = Self {
            blobs: Blobs::open(root)?,
            ingests: Ingests::open(root)?,
            records,
            gate: Arc::default(),
        };
        store.forget_lost_blobs()?;
        store.remove_if_unlisted(&store.blobs.list()?)?;
        Ok(store)
    }

    /// The blob's record.
    ///
    /// # Errors
    /// This namespace has no such blob.
    pub fn info(&self, namespace: &str, digest: &Digest) -> Result<Info, ContentError> {
        self.records
            .find::<Info>(namespace, digest.as_str())?
            .ok_or_else(|| ContentError::NotFound(digest.to_string()))
    }

    /// The blob's record, if this namespace has it.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn find(&self, namespace: &str, digest: &Digest) -> Result<Option<Info>, ContentError> {
        Ok(self.records.find(namespace, digest.as_str())?)
    }

    /// All blobs of a namespace.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn list(&self, namespace: &str) -> Result<Vec<Info>, ContentError> {
        Ok(self.records.list(namespace)?)
    }

    /// Opens a blob and tells its length.
    ///
    /// # Errors
    /// This namespace has no such blob.
    pub fn read(&self, namespace: &str, digest: &Digest) -> Result<(File, u64), ContentError> {
        self.info(namespace, digest)?;
        let file = self.blobs.read(digest)?;
        let length = file.metadata().map_err(ContentError::io("read blob"))?.len();
        Ok((file, length))
    }

    /// A small blob's content.
    ///
    /// # Errors
    /// This namespace has no such blob, or it is longer than `limit`.
    pub fn read_all(
        &self,
        namespace: &str,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, ContentError> {
        use std::io::Read;
        let (file, size) = self.read(namespace, digest)?;
        if size > limit {
            return Err(ContentError::TooLarge { digest: digest.to_string(), size, limit });
        }
        let mut data = Vec::new();
        file.take(limit).read_to_end(&mut data).map_err(ContentError::io("read blob"))?;
        Ok(data)
    }

    /// Changes a blob's labels.
    ///
    /// # Errors
    /// This namespace has no such blob, or the change is not allowed.
    pub fn update(
        &self,
        namespace: &str,
        digest: &Digest,
        requested: &Labels,
        mask: Option<&FieldMask>,
    ) -> Result<Info, ContentError> {
        self.records.update_blocking(|records| {
            let mut info = records
                .find::<Info>(namespace, digest.as_str())?
                .ok_or_else(|| ContentError::NotFound(digest.to_string()))?;
            labels::update(&mut info.labels, requested, mask)?;
            info.updated_at = Some(supervisor_metadata::now());
            records.put(namespace, &info)?;
            Ok(info)
        })
    }

    /// Adds labels to a blob; writes nothing if it has them.
    ///
    /// # Errors
    /// This namespace has no such blob, or a label is too long.
    pub fn add_labels(
        &self,
        namespace: &str,
        digest: &Digest,
        added: &Labels,
    ) -> Result<(), ContentError> {
        let present = self.info(namespace, digest)?.labels;
        if added.iter().all(|(key, value)| present.get(key) == Some(value)) {
            return Ok(());
        }
        let paths = added.keys().map(|key| format!("labels.{key}")).collect();
        self.update(namespace, digest, added, Some(&FieldMask { paths })).map(drop)
    }

    /// Takes the blob from this namespace, and its file away if no other has it.
    ///
    /// # Errors
    /// This namespace has no such blob.
    pub fn delete(&self, namespace: &str, digest: &Digest) -> Result<(), ContentError> {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let shared = self.records.update_blocking(|records| {
            if records.find::<Info>(namespace, digest.as_str())?.is_none() {
                return Err(ContentError::NotFound(digest.to_string()));
            }
            records.remove::<Info>(namespace, digest.as_str())?;
            let everywhere = records.list_everywhere::<Info>()?;
            Ok(everywhere.iter().any(|(_, info)| info.digest == digest.as_str()))
        })?;
        if shared { Ok(()) } else { self.blobs.remove(digest) }
    }

    /// Begins or resumes the writing of a blob.
    ///
    /// # Errors
    /// The blob is there already, or somebody else writes under this reference.
    pub fn writer(
        &self,
        namespace: &str,
        reference: &str,
        total: u64,
        expected: Option<&Digest>,
    ) -> Result<Writer, ContentError> {
        let mut shared = None;
        if let Some(digest) = expected {
            if self.find(namespace, digest)?.is_some() {
                return Err(ContentError::Exists(digest.to_string()));
            }
            shared = self.blobs.stat(digest).ok().filter(|file| total == 0 || file.size == total);
        }
        let target = match (shared, expected) {
            (Some(file), Some(digest)) => Target::Shared(IngestStatus {
                reference: reference.to_owned(),
                offset: file.size,
                total: file.size,
                expected: Some(digest.clone()),
                started_at: SystemTime::now(),
                updated_at: SystemTime::now(),
            }),
            _ => Target::Ingest(self.ingests.writer(namespace, reference, total, expected)?),
        };
        Ok(Writer { store: self.clone(), namespace: namespace.to_owned(), target })
    }

    /// Makes a small blob at once; one that is there already only gets the labels.
    ///
    /// # Errors
    /// The disk is full or failed, or the content is not `expected`.
    pub fn write_all(
        &self,
        namespace: &str,
        reference: &str,
        data: &[u8],
        expected: Option<&Digest>,
        details: Details<'_>,
    ) -> Result<Digest, ContentError> {
        let digest = crate::ingest::digest_of(data);
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(ContentError::WrongDigest {
                actual: digest.to_string(),
                expected: expected.to_string(),
            });
        }
        let written = self.writer(namespace, reference, data.len() as u64, Some(&digest)).and_then(
            |mut writer| {
                if writer.status().offset < data.len() as u64 {
                    writer.restart()?;
                    writer.write(data)?;
                }
                writer.commit(0, None, details)
            },
        );
        match written {
            Err(ContentError::Exists(_)) => {
                self.keep_with(namespace, &digest, details.lease)?;
                self.add_labels(namespace, &digest, details.labels)?;
                Ok(digest)
            }
            other => other.map(|_| digest),
        }
    }

    /// Has a lease keep a blob.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn keep_with(
        &self,
        namespace: &str,
        digest: &Digest,
        lease: Option<&str>,
    ) -> Result<(), ContentError> {
        let Some(lease) = lease else { return Ok(()) };
        self.records.update_blocking(|records| {
            Ok(records.add_to_lease(namespace, lease, LEASE_TYPE, digest.as_str())?)
        })
    }

    /// How far an ingest has come.
    ///
    /// # Errors
    /// There is none of this reference.
    pub fn status(&self, namespace: &str, reference: &str) -> Result<IngestStatus, ContentError> {
        self.ingests.status(namespace, reference)
    }

    /// All ingests of a namespace.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn statuses(&self, namespace: &str) -> Result<Vec<IngestStatus>, ContentError> {
        self.ingests.list(namespace)
    }

    /// Throws an ingest away.
    ///
    /// # Errors
    /// There is none of this reference.
    pub fn abort(&self, namespace: &str, reference: &str) -> Result<(), ContentError> {
        self.ingests.abort(namespace, reference)
    }

    /// Removes the files of these blobs, but for those that have a record by now.
    fn remove_if_unlisted(&self, digests: &[Digest]) -> Result<(), ContentError> {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let everywhere = self.records.list_everywhere::<Info>()?;
        let listed: HashSet<_> = everywhere.into_iter().map(|(_, info)| info.digest).collect();
        for digest in digests.iter().filter(|digest| !listed.contains(digest.as_str())) {
            self.blobs.remove(digest)?;
        }
        Ok(())
    }

    /// A removed record can come back by power loss; its file does not.
    fn forget_lost_blobs(&self) -> Result<(), ContentError> {
        let is_lost = |info: &Info| match info.digest.parse() {
            Ok(digest) => self.blobs.stat(&digest).is_err(),
            Err(_) => true,
        };
        let mut lost = self.records.list_everywhere::<Info>()?;
        lost.retain(|(_, info)| is_lost(info));
        if lost.is_empty() {
            return Ok(());
        }
        tracing::warn!(count = lost.len(), "records of blobs without a file are forgotten");
        self.records.update_blocking(|records| {
            for (namespace, info) in &lost {
                records.remove::<Info>(namespace, &info.digest)?;
            }
            Ok(())
        })
    }

    fn pass_gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl Sweep for ContentStore {
    async fn sweep(&self, garbage: &Garbage) {
        let store = self.clone();
        let digests: Vec<Digest> =
            garbage.blobs.iter().filter_map(|digest| digest.parse().ok()).collect();
        let work = move || {
            if !digests.is_empty() {
                store.remove_if_unlisted(&digests)?;
            }
            // Nobody refers to ingests, they only grow old.
            store.ingests.forget_old()
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
            tracing::warn!(error = %Chain(&error), "some collected content stays until the next start");
        }
    }
}

/// What a new blob gets besides its content.
#[derive(Clone, Copy, Debug)]
pub struct Details<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// The lease that keeps it at first.
    pub lease: Option<&'a str>,
}

/// The writing of one blob.
pub struct Writer {
    store: ContentStore,
    namespace: String,
    target: Target,
}

enum Target {
    Ingest(Ingest),
    /// Another namespace has the blob already; only the record is missing.
    Shared(IngestStatus),
}

impl Writer {
    /// How far it has come.
    #[must_use]
    pub fn status(&self) -> &IngestStatus {
        match &self.target {
            Target::Ingest(ingest) => ingest.status(),
            Target::Shared(status) => status,
        }
    }

    /// The digest of what was written so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match &self.target {
            Target::Ingest(ingest) => ingest.digest(),
            Target::Shared(status) => {
                status.expected.clone().expect("a shared blob was asked for by its digest")
            }
        }
    }

    /// The growing file; `None` where nothing has to be written.
    #[must_use]
    pub fn data_path(&self) -> Option<std::path::PathBuf> {
        match &self.target {
            Target::Ingest(ingest) => Some(ingest.data_path()),
            Target::Shared(_) => None,
        }
    }

    /// Appends.
    ///
    /// # Errors
    /// The disk is full or failed, or more comes than was announced.
    pub fn write(&mut self, data: &[u8]) -> Result<(), ContentError> {
        match &mut self.target {
            Target::Ingest(ingest) => ingest.write(data),
            Target::Shared(status) => Err(ContentError::TooLong(status.reference.clone())),
        }
    }

    /// Throws away what was written.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn restart(&mut self) -> Result<(), ContentError> {
        match &mut self.target {
            Target::Ingest(ingest) => ingest.restart(),
            Target::Shared(_) => Ok(()),
        }
    }

    /// Verifies what was written and makes it a blob of this namespace; it survives power loss
    /// from then on.
    ///
    /// # Errors
    /// Length or digest are not as announced, or the blob is there already.
    pub fn commit(
        self,
        total: u64,
        expected: Option<Digest>,
        details: Details<'_>,
    ) -> Result<Digest, ContentError> {
        labels::check(details.labels)?;
        let _gate = self.store.pass_gate();
        let (digest, size) = match self.target {
            Target::Ingest(mut ingest) => {
                ingest.announce(total, expected);
                ingest.publish(&self.store.blobs)?
            }
            Target::Shared(status) => {
                let digest = status.expected.expect("a shared blob was asked for by its digest");
                (digest, status.offset)
            }
        };
        let now = supervisor_metadata::now();
        let info = Info {
            digest: digest.to_string(),
            size: size.cast_signed(),
            created_at: Some(now),
            updated_at: Some(now),
            labels: details.labels.clone(),
        };
        self.store.records.update_blocking(|records| {
            if records.find::<Info>(&self.namespace, digest.as_str())?.is_some() {
                return Err(ContentError::Exists(digest.to_string()));
            }
            if let Some(lease) = details.lease {
                records.add_to_lease(&self.namespace, lease, LEASE_TYPE, digest.as_str())?;
            }
            Ok(records.insert(&self.namespace, &info)?)
        })?;
        base_faults::reach(LISTED);
        Ok(digest)
    }
}
