//! The directory of finished blobs: `blobs/sha256/<hex>`, read-only files that never change.

use crate::error::ContentError;
use base_ids::Digest;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A blob's file.
#[derive(Clone, Copy, Debug)]
pub struct BlobFile {
    /// Its length.
    pub size: u64,
    /// When it was published.
    pub modified: SystemTime,
}

/// The finished blobs of all namespaces.
#[derive(Clone, Debug)]
pub struct Blobs {
    directory: PathBuf,
}

impl Blobs {
    pub(crate) fn open(root: &Path) -> Result<Self, ContentError> {
        let directory = root.join("blobs/sha256");
        make_private(&directory).map_err(ContentError::io("make the directory of blobs"))?;
        Ok(Self { directory })
    }

    /// Where the blob's file is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.hex())
    }

    /// The blob's file.
    ///
    /// # Errors
    /// There is none.
    pub fn stat(&self, digest: &Digest) -> Result<BlobFile, ContentError> {
        let metadata = fs::metadata(self.path(digest)).map_err(|error| missing(error, digest))?;
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(BlobFile { size: metadata.len(), modified })
    }

    /// Opens the blob for reading.
    ///
    /// # Errors
    /// There is none.
    pub fn read(&self, digest: &Digest) -> Result<File, ContentError> {
        File::open(self.path(digest)).map_err(|error| missing(error, digest))
    }

    /// Moves a finished, synced file to its place; power loss then keeps it.
    pub(crate) fn publish(&self, data: &Path, digest: &Digest) -> Result<(), ContentError> {
        let publish = || {
            fs::set_permissions(data, fs::Permissions::from_mode(0o444))?;
            let path = self.path(digest);
            fs::rename(data, &path)?;
            base_files::sync_parent(&path)
        };
        publish().map_err(ContentError::io("publish blob"))
    }

    /// Removes the blob's file; one that is gone already is no error.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<(), ContentError> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ContentError::Io { step: "remove blob", source: error })
            }
            _ => Ok(()),
        }
    }

    /// The digests of all files.
    pub(crate) fn list(&self) -> Result<Vec<Digest>, ContentError> {
        let list = || {
            let mut digests = Vec::new();
            for entry in fs::read_dir(&self.directory)? {
                let name = entry?.file_name();
                if let Ok(digest) = format!("sha256:{}", name.to_string_lossy()).parse() {
                    digests.push(digest);
                }
            }
            Ok(digests)
        };
        list().map_err(ContentError::io("list blobs"))
    }
}

/// Makes a directory for the supervisor's eyes only (CVE-2024-25621).
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn missing(error: io::Error, digest: &Digest) -> ContentError {
    match error.kind() {
        io::ErrorKind::NotFound => ContentError::NotFound(digest.to_string()),
        _ => ContentError::Io { step: "open blob", source: error },
    }
}
