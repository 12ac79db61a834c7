//! `daemon.json` as it stands.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// A larger configuration is not read.
const MAX_FILE: u64 = 1 << 20;

/// `daemon.json`, by dockerd's names; what is unknown is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) bip: Option<String>,
    pub(super) bridge: Option<String>,
    pub(super) cgroup_parent: Option<String>,
    pub(super) containerd: Option<PathBuf>,
    pub(super) data_root: Option<PathBuf>,
    pub(super) debug: Option<bool>,
    pub(super) default_address_pools: Option<Vec<Pool>>,
    pub(super) default_runtime: Option<String>,
    pub(super) default_ulimits: Option<BTreeMap<String, FileUlimit>>,
    pub(super) dns: Option<Vec<String>>,
    pub(super) dns_opts: Option<Vec<String>>,
    pub(super) dns_search: Option<Vec<String>>,
    pub(super) exec_root: Option<PathBuf>,
    pub(super) favor_dynmods: Option<bool>,
    pub(super) group: Option<String>,
    pub(super) hosts: Option<Vec<String>>,
    pub(super) icc: Option<bool>,
    pub(super) init: Option<bool>,
    pub(super) init_path: Option<PathBuf>,
    pub(super) insecure_registries: Option<Vec<String>>,
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) ip_forward: Option<bool>,
    pub(super) ip_masq: Option<bool>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) live_restore: Option<bool>,
    pub(super) log_driver: Option<String>,
    pub(super) log_level: Option<String>,
    pub(super) log_opts: Option<BTreeMap<String, String>>,
    pub(super) min_api_version: Option<String>,
    pub(super) mtu: Option<u32>,
    pub(super) pidfile: Option<PathBuf>,
    pub(super) registry_mirrors: Option<Vec<String>>,
    pub(super) runtimes: Option<BTreeMap<String, FileRuntime>>,
    pub(super) tls: Option<bool>,
    pub(super) tlscacert: Option<PathBuf>,
    pub(super) tlscert: Option<PathBuf>,
    pub(super) tlskey: Option<PathBuf>,
    pub(super) tlsverify: Option<bool>,
    pub(super) userland_proxy: Option<bool>,
    pub(super) userland_proxy_path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pool {
    pub(super) base: String,
    pub(super) size: u8,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FileUlimit {
    pub(super) hard: i64,
    pub(super) soft: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FileRuntime {
    pub(super) path: String,
    #[serde(rename = "runtimeType")]
    pub(super) runtime_type: String,
}

/// Reads the file: its settings, and the same as they are written. Nothing there is nothing set,
/// unless the file was `named`.
pub(super) fn read(path: &Path, named: bool) -> anyhow::Result<(File, Map<String, Value>)> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
            return Ok((File::default(), Map::new()));
        }
        Err(error) => return Err(error).context("read"),
    };
    if metadata.len() > MAX_FILE {
        bail!("it is larger than {MAX_FILE} bytes");
    }
    let text = std::fs::read_to_string(path).context("read")?;
    if text.trim().is_empty() {
        return Ok((File::default(), Map::new()));
    }
    Ok((serde_json::from_str(&text)?, serde_json::from_str(&text)?))
}
