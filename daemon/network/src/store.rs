//! Records on disk: networks below the data root, sandboxes below the exec root.

use crate::{Error, NetworkRecord, Sandbox};
use base_errors::Chain;
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
    proxies: PathBuf,
}

impl Store {
    /// Makes the directories.
    pub(crate) fn open(data_root: &Path, exec_root: &Path) -> Result<Self, Error> {
        let store = Self {
            networks: data_root.join("networks"),
            sandboxes: exec_root.join("sandboxes"),
            netns: exec_root.join("netns"),
            proxies: exec_root.join("proxies"),
        };
        for directory in [&store.networks, &store.sandboxes, &store.netns, &store.proxies] {
            fs::create_dir_all(directory).map_err(|e| Error::file("create", directory, e))?;
        }
        Ok(store)
    }

    /// Where the proxies' control sockets are.
    pub(crate) fn proxies(&self) -> PathBuf {
        self.proxies.clone()
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
        records(&self.networks)?.into_iter().map(|(_, record)| record).collect()
    }

    pub(crate) fn write_network(&self, network: &NetworkRecord) -> Result<(), Error> {
        let path = self.networks.join(format!("{}.json", network.id));
        write(&path, network, Durability::PowerLoss)
    }

    /// The sandboxes' records. A damaged one is deleted: they are not meant to survive a loss of
    /// power, and where the exec root is on a disk that may leave half of one.
    pub(crate) fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        let mut all = Vec::new();
        for (path, record) in records(&self.sandboxes)? {
            match record {
                Ok(sandbox) => all.push(sandbox),
                Err(error @ Error::Record { .. }) => {
                    tracing::warn!(error = %Chain(&error), "sandbox forgotten");
                    fs::remove_file(&path).map_err(|e| Error::file("remove", path, e))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
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

/// A file's path, and the record in it.
type Found<T> = (PathBuf, Result<T, Error>);

/// The records of a directory; what a crash left half written has no `.json` name.
fn records<T: DeserializeOwned>(directory: &Path) -> Result<Vec<Found<T>>, Error> {
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
        let record = parse(&path, &content);
        all.push((path, record));
    }
    Ok(all)
}

/// Reads a record; one of a later version is refused before its other fields are looked at.
fn parse<T: DeserializeOwned>(path: &Path, content: &[u8]) -> Result<T, Error> {
    #[derive(serde::Deserialize)]
    struct Form {
        version: u32,
    }
    let damaged = |source| Error::Record { path: path.to_owned(), source };
    let Form { version } = serde_json::from_slice(content).map_err(damaged)?;
    if version > VERSION {
        return Err(Error::NewerRecord { path: path.to_owned(), version });
    }
    serde_json::from_slice(content).map_err(damaged)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data"), &folder.path().join("exec")).unwrap();
        (folder, store)
    }

    #[test]
    fn half_a_sandbox_is_forgotten_and_a_newer_one_refused() {
        let (_folder, store) = store();
        fs::write(store.sandboxes.join("half.json"), "{\"version\":1,\"id\":").unwrap();
        assert!(store.sandboxes().unwrap().is_empty());
        assert!(paths_in(&store.sandboxes).unwrap().is_empty());
        let newer = store.sandboxes.join("newer.json");
        fs::write(&newer, "{\"version\":2,\"shape\":\"unknown\"}").unwrap();
        let error = store.sandboxes().unwrap_err().to_string();
        assert!(error.ends_with("written by a newer version (form 2)"), "{error}");
        assert!(newer.exists());
    }

    #[test]
    fn a_damaged_network_is_an_error_and_stays() {
        let (_folder, store) = store();
        let path = store.networks.join("n.json");
        fs::write(&path, "").unwrap();
        assert!(matches!(store.networks(), Err(Error::Record { .. })));
        assert!(path.exists());
    }

    /// As version 1 was first written, without whatever was added since.
    #[test]
    fn the_first_form_of_a_sandbox_is_read() {
        let (_folder, store) = store();
        let (container, id) = ("ab".repeat(32), "cd".repeat(32));
        let text = format!(
            r#"{{"version":1,"id":"{container}","sandbox_id":"{id}","netns":"/n","host":false,
                "endpoints":[],"ports":[{{"container_port":80,"protocol":"tcp",
                "host_ip":"0.0.0.0","host_port":8080}}]}}"#
        );
        fs::write(store.sandboxes.join(format!("{container}.json")), text).unwrap();
        assert_eq!(store.sandboxes().unwrap()[0].ports[0].host_port, 8080);
    }
}
