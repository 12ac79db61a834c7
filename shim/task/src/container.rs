//! A container in this shim, apart from its processes.

use crate::memory::MemoryWatch;
use crate::reactor::Watched;
use crate::runtime::Runtime;
use crate::stdio::{Opened, Owner};
use base_oci::runtime::Spec;
use contracts_shim_api::options::Options;
use contracts_shim_api::types::Mount;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest `config.json`.
pub(crate) const MAX_CONFIG: u64 = 4 << 20;

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    /// The number of its init process.
    pub(crate) init: u32,
    /// The numbers of its execs.
    pub(crate) execs: BTreeMap<String, u32>,
    pub(crate) bundle: PathBuf,
    pub(crate) runtime: Runtime,
    pub(crate) rootfs: Vec<Mount>,
    /// Whom the processes' pipes belong to.
    pub(crate) owner: Owner,
    /// Its namespaces, held so that init's exit does not have to tear them down.
    pub(crate) namespaces: Vec<OwnedFd>,
    /// Its processes survive its init, and are killed after it.
    pub(crate) shares_pids: bool,
    pub(crate) attach: Option<Watched>,
    pub(crate) memory: Option<MemoryWatch>,
    /// What its start restores it from; nothing where there is an init, or was one.
    pub(crate) restore: Option<Restore>,
}

/// A container to be made of a checkpoint.
#[derive(Debug)]
pub(crate) struct Restore {
    /// The checkpoint's folder.
    pub(crate) image: PathBuf,
    pub(crate) options: Options,
    pub(crate) opened: Opened,
}

/// Reads a bundle's configuration.
pub(crate) fn read_config(bundle: &Path) -> io::Result<Spec> {
    let mut text = Vec::new();
    let file = File::open(bundle.join("config.json"))?;
    file.take(MAX_CONFIG + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "config.json is too large"));
    }
    serde_json::from_slice(&text).map_err(Into::into)
}
