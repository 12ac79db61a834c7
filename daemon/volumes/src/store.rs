//! The volumes of the `local` driver.

use base_errors::{Classify, Kind};
use base_files::Durability;
use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;
/// Longest name: a file name that leaves room.
const MAX_NAME: usize = 200;
/// How a folder is called that is not a volume yet, or no longer: no volume's name begins so.
const HIDDEN: &str = ".gantry-";

/// One volume, as stored in `volume.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Version of this form.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339 to the second.
    pub created_at: String,
    /// The user's labels; `null` and empty differ in Docker's answers.
    pub labels: Option<BTreeMap<String, String>>,
    /// The driver's options.
    pub options: Option<BTreeMap<String, String>>,
}

/// Why a volume operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such volume.
    #[error("get {0}: no such volume")]
    NotFound(String),
    /// Not a name that a volume may have.
    #[error(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// The `local` driver's options are not offered yet.
    #[error("create {name}: option {option:?} of the local driver is not implemented")]
    Option {
        /// The volume.
        name: String,
        /// The option.
        option: String,
    },
    /// The operating system refused.
    #[error("{step} volume {name}")]
    File {
        /// What was attempted.
        step: &'static str,
        /// On which volume.
        name: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::InvalidName { .. } | Self::Option { .. } => Kind::InvalidArgument,
            Self::File { .. } => Kind::Internal,
        }
    }
}

/// All volumes of one daemon.
#[derive(Clone, Debug)]
pub struct Volumes {
    root: PathBuf,
}

impl Volumes {
    /// Opens `<data>/volumes`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(data_root: &Path) -> io::Result<Self> {
        let root = data_root.join("volumes");
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&root)?;
        Ok(Self { root })
    }

    /// Where a volume's content is.
    #[must_use]
    pub fn mountpoint(&self, name: &str) -> PathBuf {
        self.root.join(name).join("_data")
    }

    /// The volume of this name.
    ///
    /// # Errors
    /// There is none, or its record is damaged.
    pub fn get(&self, name: &str) -> Result<Volume, Error> {
        if !valid(name) {
            return Err(Error::NotFound(name.to_owned()));
        }
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Error::NotFound(name.to_owned()),
            _ => Error::File { step: "read", name: name.to_owned(), source },
        };
        let bytes = std::fs::read(self.root.join(name).join("volume.json")).map_err(failed)?;
        let volume: Volume =
            serde_json::from_slice(&bytes).map_err(|e| failed(io::Error::other(e)))?;
        if volume.version > VERSION {
            return Err(failed(io::Error::other("written by a newer daemon")));
        }
        Ok(volume)
    }

    /// Every volume, by name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<Volume>> {
        let mut volumes = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            // A folder without a record was never acknowledged.
            volumes.extend(name.to_str().and_then(|name| self.get(name).ok()));
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Makes a volume, or gives the one that has the name; the flag tells whether it is new.
    ///
    /// # Errors
    /// The name is not allowed, an option is not offered, or the disk refuses.
    pub fn create(
        &self,
        name: &str,
        labels: Option<BTreeMap<String, String>>,
        options: Option<BTreeMap<String, String>>,
    ) -> Result<(Volume, bool), Error> {
        if !valid(name) {
            return Err(Error::InvalidName { name: name.to_owned() });
        }
        match self.get(name) {
            Ok(volume) => return Ok((volume, false)),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        if let Some(option) = options.iter().flatten().map(|(key, _)| key).next() {
            return Err(Error::Option { name: name.to_owned(), option: option.clone() });
        }
        let created_at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let volume =
            Volume { version: VERSION, name: name.to_owned(), created_at, labels, options };
        match self.write(&volume) {
            Ok(()) => Ok((volume, true)),
            // Somebody was quicker; a folder without a record is no volume, and none of ours.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.get(name).map(|volume| (volume, false)).map_err(|other| match other {
                    Error::NotFound(_) => failed("create", name)(error),
                    other => other,
                })
            }
            Err(error) => Err(failed("create", name)(error)),
        }
    }

    /// Makes the volume where nobody sees it and gives it its name when it is whole.
    fn write(&self, volume: &Volume) -> io::Result<()> {
        let (hidden, folder) = (self.hidden(), self.root.join(&volume.name));
        let made = || -> io::Result<()> {
            std::fs::DirBuilder::new().mode(0o701).create(&hidden)?;
            // The content may be written by any user of a container; its parent keeps hosts out.
            std::fs::DirBuilder::new().mode(0o755).create(hidden.join("_data"))?;
            let json = serde_json::to_vec(volume)?;
            base_files::replace(&hidden.join("volume.json"), &json, 0o600, Durability::PowerLoss)?;
            renameat_with(CWD, &hidden, CWD, &folder, RenameFlags::NOREPLACE)?;
            base_files::sync_parent(&folder)
        };
        made().inspect_err(|_| {
            let _ = std::fs::remove_dir_all(&hidden);
        })
    }

    /// A path beside the volumes that nothing has yet.
    fn hidden(&self) -> PathBuf {
        self.root.join(format!("{HIDDEN}{}", Timestamp::now().as_nanosecond()))
    }

    /// Bytes in a volume, as far as they can be seen; links are not followed.
    #[must_use]
    pub fn size(&self, name: &str) -> u64 {
        let mut folders = vec![self.mountpoint(name)];
        let mut size = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    size += metadata.len();
                }
            }
        }
        size
    }

    /// Takes a volume's name away; its content is there until [`Detached::delete`].
    ///
    /// # Errors
    /// There is none, or the disk refuses.
    pub fn detach(&self, name: &str) -> Result<Detached, Error> {
        self.get(name)?;
        let hidden = self.hidden();
        // One step: after a crash it is a whole volume or none.
        std::fs::rename(self.root.join(name), &hidden).map_err(failed("remove", name))?;
        Ok(Detached { name: name.to_owned(), folder: hidden })
    }

    /// What interrupted creations and removals left, to be deleted. To be asked for before
    /// volumes are made or removed.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn leftovers(&self) -> io::Result<Vec<Detached>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(HIDDEN) {
                found.push(Detached { name, folder: entry.path() });
            }
        }
        Ok(found)
    }
}

/// A volume that has no name any more.
#[derive(Debug)]
#[must_use = "its content is still there"]
pub struct Detached {
    name: String,
    folder: PathBuf,
}

impl Detached {
    /// Deletes its content, however much that is.
    ///
    /// # Errors
    /// The disk refuses; what is left is among [`Volumes::leftovers`] next time.
    pub fn delete(self) -> Result<(), Error> {
        std::fs::remove_dir_all(&self.folder).map_err(failed("remove", &self.name))
    }
}

fn failed(step: &'static str, name: &str) -> impl FnOnce(io::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::File { step, name, source }
}

/// Docker's rule for names; it also keeps them plain file names.
fn valid(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric();
    (2..=MAX_NAME).contains(&name.len())
        && name.bytes().next().is_some_and(word)
        && name.bytes().all(|b| word(b) || b"_.-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_made_once_and_removed_with_its_content() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(root.path()).unwrap();
        let (volume, new) = volumes.create("data", None, None).unwrap();
        assert!(new);
        assert_eq!(volumes.create("data", None, None).unwrap(), (volume.clone(), false));
        std::fs::write(volumes.mountpoint("data").join("file"), "x").unwrap();
        assert_eq!(volumes.list().unwrap(), [volume]);
        volumes.detach("data").unwrap().delete().unwrap();
        assert_eq!(volumes.get("data").unwrap_err().to_string(), "get data: no such volume");
        assert_eq!(std::fs::read_dir(&volumes.root).unwrap().count(), 0);
    }

    #[test]
    fn what_an_interrupted_removal_left_is_nobodys_content() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(root.path()).unwrap();
        volumes.create("data", None, None).unwrap();
        std::fs::write(volumes.mountpoint("data").join("file"), "x").unwrap();
        let _interrupted = volumes.detach("data").unwrap();
        let (_, new) = volumes.create("data", None, None).unwrap();
        assert!(new && !volumes.mountpoint("data").join("file").exists());
        let left = volumes.leftovers().unwrap();
        assert_eq!(left.len(), 1);
        left.into_iter().for_each(|one| one.delete().unwrap());
        assert_eq!(std::fs::read_dir(&volumes.root).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_no_volume_is_not_taken_for_one() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(root.path()).unwrap();
        let strange = volumes.mountpoint("strange");
        std::fs::create_dir_all(&strange).unwrap();
        assert!(volumes.create("strange", None, None).is_err());
        assert!(strange.exists() && volumes.leftovers().unwrap().is_empty());
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(root.path()).unwrap();
        for bad in ["", "..", "a/b", ".hidden", "x", "a b"] {
            assert!(volumes.create(bad, None, None).is_err(), "{bad}");
            assert!(volumes.get(bad).is_err(), "{bad}");
        }
    }
}
