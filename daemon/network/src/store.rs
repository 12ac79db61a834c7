//! Records on disk: networks below the data root, sandboxes below the exec root.

use crate::{Error, NetworkRecord, Sandbox};
use base_files::{Durability, replace};
use base_ids::ContainerId;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Newest version of both forms.
pub(crate) const VERSION: u32 = 1;
/// No record of ours is longer.
const MAX_RECORD_BYTES: u64 = 1 << 20;

/// The directories of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    networks: PathBuf,
    sandboxes: PathBuf,
    netns: PathBuf,
}

impl Store {
    /// Makes the directories.
    pub(crate) fn open(data_root: &Path, exec_root: &Path) -> Result<Self, Error> {
        let store = Self {
            networks: data_root.join("networks"),
            sandboxes: exec_root.join("sandboxes"),
            netns: exec_root.join("netns"),
        };
        for directory in [&store.networks, &store.sandboxes, &store.netns] {
            fs::create_dir_all(directory).map_err(|e| Error::file("create", directory, e))?;
        }
        Ok(store)
    }

    /// Where the namespace of this name is mounted.
    pub(crate) fn netns(&self, name: &str) -> PathBuf {
        self.netns.join(name)
    }

    /// All paths at which namespaces are, or were, mounted.
    pub(crate) fn all_netns(&self) -> Result<Vec<PathBuf>, Error> {
        paths_in(&self.netns)
    }

    pub(crate) fn networks(&self) -> Result<Vec<NetworkRecord>, Error> {
        let all = records::<NetworkRecord>(&self.networks)?;
        Ok(all.into_iter().map(|(_, record)| record).collect())
    }

    pub(crate) fn write_network(&self, network: &NetworkRecord) -> Result<(), Error> {
        let path = self.networks.join(format!("{}.json", network.id));
        write(&path, network, Durability::PowerLoss)
    }

    pub(crate) fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        let all = records::<Sandbox>(&self.sandboxes)?;
        Ok(all.into_iter().map(|(_, record)| record).collect())
    }

    pub(crate) fn write_sandbox(&self, sandbox: &Sandbox) -> Result<(), Error> {
        write(&self.sandbox(&sandbox.id), sandbox, Durability::Processes)
    }

    pub(crate) fn remove_sandbox(&self, id: &ContainerId) -> Result<(), Error> {
        let path = self.sandbox(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::file("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    fn sandbox(&self, id: &ContainerId) -> PathBuf {
        self.sandboxes.join(format!("{id}.json"))
    }
}

fn write(path: &Path, record: &impl serde::Serialize, durability: Durability) -> Result<(), Error> {
    let content = serde_json::to_vec(record).expect("a record has only texts as keys");
    replace(path, &content, 0o600, durability).map_err(|e| Error::file("write", path, e))
}

/// The records of a directory; what a crash left half written has no `.json` name.
fn records<T: DeserializeOwned>(directory: &Path) -> Result<Vec<(PathBuf, T)>, Error> {
    let mut all = Vec::new();
    for path in paths_in(directory)? {
        if path.extension().is_none_or(|extension| extension != "json") {
            let _ = fs::remove_file(&path);
            continue;
        }
        let mut content = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_RECORD_BYTES).read_to_end(&mut content))
            .map_err(|error| Error::file("read", &path, error))?;
        let record = serde_json::from_slice(&content)
            .map_err(|source| Error::Record { path: path.clone(), source })?;
        all.push((path, record));
    }
    Ok(all)
}

fn paths_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::file("list", directory, error);
    let entries = fs::read_dir(directory).map_err(failed)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}
