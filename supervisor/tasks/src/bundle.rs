//! A task's directory.
//!
//! Besides what ARCHITECTURE.md lists, the supervisor keeps `shim.json` there: what it must know
//! to find the shim again and to clean up after it.

use crate::Error;
use base_files::Durability;
use contracts_shim_api::exit::{self, ExitRecord};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
const ROOTFS: &str = "rootfs";
const SHIM: &str = "shim.json";
const ADDRESS: &str = "address";
const INIT_PID: &str = "init.pid";
/// Version of `shim.json`.
const VERSION: u32 = 1;
/// Larger files of a bundle are not read; `config.json` is never read here.
const MAX_FILE: u64 = 64 << 10;

/// Where the supervisor keeps what tasks need.
#[derive(Clone, Debug)]
pub struct Layout {
    state: PathBuf,
}

impl Layout {
    /// The layout below the supervisor's state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    /// Bundles, by namespace and id.
    #[must_use]
    pub fn tasks(&self) -> PathBuf {
        self.state.join("tasks")
    }

    /// Shims' sockets; short, as socket paths are limited to 107 bytes.
    #[must_use]
    pub fn sockets(&self) -> PathBuf {
        self.state.join("s")
    }

    /// The runtime's state of a namespace.
    #[must_use]
    pub fn runtime(&self, namespace: &str) -> PathBuf {
        self.state.join("runtime").join(namespace)
    }

    /// Makes what all tasks share.
    ///
    /// # Errors
    /// A directory cannot be made.
    pub fn prepare(&self) -> Result<(), Error> {
        for directory in [self.tasks(), self.sockets()] {
            make_directory(&directory, 0o711, true)?;
        }
        Ok(())
    }
}

/// What the supervisor remembers of a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShimRecord {
    version: u32,
    /// The runtime's name.
    pub(crate) runtime: String,
    /// The shim's program.
    pub(crate) program: PathBuf,
    /// The Task service's version, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<u32>,
    /// The shim's socket, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
}

impl ShimRecord {
    /// A record of a shim that is about to be launched.
    pub(crate) fn new(runtime: &str, program: &Path) -> Self {
        Self {
            version: VERSION,
            runtime: runtime.to_owned(),
            program: program.to_owned(),
            api: None,
            address: None,
        }
    }
}

/// One task's directory.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    path: PathBuf,
}

impl Bundle {
    /// The bundle of a task, there or not. Namespace and id are identifiers: safe file names.
    pub(crate) fn of(layout: &Layout, namespace: &str, id: &str) -> Self {
        Self { path: layout.tasks().join(namespace).join(id) }
    }

    /// Makes the bundle; a left-over one of this name is an error.
    pub(crate) fn create(&self, config: &[u8]) -> Result<(), Error> {
        if let Some(namespace) = self.path.parent() {
            make_directory(namespace, 0o711, true)?;
        }
        // 0711 lets a container with other user ids reach its own root file system.
        make_directory(&self.path, 0o711, false)?;
        make_directory(&self.path.join(ROOTFS), 0o711, false)?;
        let path = self.path.join(CONFIG);
        let mut options = OpenOptions::new();
        let written = options.write(true).create_new(true).mode(0o600).open(&path);
        written.and_then(|mut file| file.write_all(config)).map_err(|source| Error::Bundle {
            what: "write",
            path,
            source,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Remembers the shim.
    pub(crate) fn write_shim(&self, record: &ShimRecord) -> Result<(), Error> {
        let content = serde_json::to_vec(record).expect("strings and numbers always serialize");
        self.replace(SHIM, &content)
    }

    /// The shim, when one was about to be launched.
    ///
    /// # Errors
    /// A later supervisor wrote this: what it knows of its shim cannot be told from here.
    pub(crate) fn shim(&self) -> Result<Option<ShimRecord>, Error> {
        /// What every version of the file has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Some(content) = self.read(SHIM) else { return Ok(None) };
        let damaged = |source: serde_json::Error| Error::Bundle {
            what: "read",
            path: self.path.join(SHIM),
            source: source.into(),
        };
        let Versioned { version } = serde_json::from_slice(&content).map_err(damaged)?;
        if version > VERSION {
            return Err(Error::ShimVersion(version));
        }
        let mut record: ShimRecord = serde_json::from_slice(&content).map_err(damaged)?;
        if record.address.is_none() {
            // The shim wrote its address, and the supervisor died before it did.
            let address = self.read(ADDRESS).and_then(|text| String::from_utf8(text).ok());
            record.address =
                address.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        }
        Ok(Some(record))
    }

    /// The exit status that was recorded.
    pub(crate) fn exit(&self) -> Option<ExitRecord> {
        ExitRecord::parse(&self.read(exit::FILE)?).ok()
    }

    /// Records an exit status that no shim recorded.
    pub(crate) fn write_exit(&self, record: &ExitRecord) -> Result<(), Error> {
        self.replace(exit::FILE, &record.to_json())
    }

    /// The init process as the shim recorded it.
    pub(crate) fn init_pid(&self) -> Option<u32> {
        std::str::from_utf8(&self.read(INIT_PID)?).ok()?.trim().parse().ok()
    }

    /// Removes the directory. The root file system must be unmounted by now: a mount point is
    /// refused by the kernel, never emptied.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let failed = |path: PathBuf, source| Error::Bundle { what: "remove", path, source };
        let rootfs = self.path.join(ROOTFS);
        match std::fs::remove_dir(&rootfs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(rootfs, error));
            }
            _ => {}
        }
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(self.path.clone(), error))
            }
            _ => Ok(()),
        }
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.path.join(name);
        base_files::replace(&path, content, 0o600, Durability::Processes)
            .map_err(|source| Error::Bundle { what: "write", path, source })
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = std::fs::File::open(self.path.join(name)).ok()?;
        let mut content = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut content).ok()?;
        Some(content)
    }
}

/// All bundles there are: namespace and id of each. What is no directory is none of ours.
pub(crate) fn list(layout: &Layout) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for namespace in std::fs::read_dir(layout.tasks())? {
        let namespace = namespace?;
        if !namespace.file_type()?.is_dir() {
            continue;
        }
        for bundle in std::fs::read_dir(namespace.path())? {
            if let (Ok(namespace), Ok(id)) =
                (namespace.file_name().into_string(), bundle?.file_name().into_string())
            {
                found.push((namespace, id));
            }
        }
    }
    Ok(found)
}

fn make_directory(path: &Path, mode: u32, may_exist: bool) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if may_exist && error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => {
            made.map_err(|source| Error::Bundle { what: "make", path: path.to_owned(), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> (Bundle, Layout, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        let layout = Layout::new(state.path());
        layout.prepare().unwrap();
        (Bundle::of(&layout, "moby", "a"), layout, state)
    }

    #[test]
    fn a_bundle_is_made_once_found_and_removed() {
        let (bundle, layout, _state) = bundle();
        bundle.create(b"{}").unwrap();
        assert!(matches!(bundle.create(b"{}"), Err(Error::Bundle { what: "make", .. })));
        std::fs::write(layout.tasks().join("stray"), "").unwrap();
        assert_eq!(list(&layout).unwrap(), [("moby".to_owned(), "a".to_owned())]);
        bundle.remove().unwrap();
        bundle.remove().unwrap();
        assert!(list(&layout).unwrap().is_empty());
    }

    #[test]
    fn a_root_file_system_with_content_is_never_emptied() {
        let (bundle, _layout, _state) = bundle();
        bundle.create(b"{}").unwrap();
        std::fs::write(bundle.path().join("rootfs/precious"), "x").unwrap();
        assert!(bundle.remove().is_err());
        assert!(bundle.path().join("rootfs/precious").exists());
        assert!(bundle.path().join(CONFIG).exists());
    }

    #[test]
    fn a_shim_is_found_by_its_own_address_file_when_the_supervisor_died_early() {
        let (bundle, _layout, _state) = bundle();
        bundle.create(b"{}").unwrap();
        assert_eq!(bundle.shim().unwrap(), None);
        let record = ShimRecord::new("io.containerd.gantry.v2", Path::new("/x"));
        bundle.write_shim(&record).unwrap();
        assert_eq!(bundle.shim().unwrap(), Some(record));
        std::fs::write(bundle.path().join(ADDRESS), "unix:///s/1\n").unwrap();
        let found = bundle.shim().unwrap().unwrap();
        assert_eq!(found.address.as_deref(), Some("unix:///s/1"));
    }

    #[test]
    fn a_later_supervisors_record_is_refused_and_not_taken_for_none() {
        let (bundle, _layout, _state) = bundle();
        bundle.create(b"{}").unwrap();
        std::fs::write(bundle.path().join(SHIM), r#"{"version":9,"shim":{}}"#).unwrap();
        assert!(matches!(bundle.shim(), Err(Error::ShimVersion(9))));
    }
}
