//! What is on disk about a container, and where.
//!
//! `config.json` is written once, `state.json` at every change of state. Both are envelopes of
//! our own with a version. Inside `config.json` stand two Engine API documents, `Config` and
//! `HostConfig`: Docker's own, public, and read leniently by rule, so that they serve as our
//! stored form too; everything else is ours.
//!
//! `--rm` containers live below the exec root, where nothing is synced: they may vanish with the
//! machine. All others are synced before the request that made them is answered.

use crate::error::{Error, Result};
use base_files::Durability;
use base_ids::{ContainerId, Digest};
use contracts_engine_api::container::{Config, HostConfig};
use contracts_engine_api::network::EndpointSettings;
use contracts_engine_api::oci::Descriptor;
use daemon_network::Sandbox;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of both forms; a higher one is refused, so that a downgrade damages nothing.
const VERSION: u32 = 1;
/// Larger records are not read.
const MAX_RECORD: u64 = 4 << 20;

/// `config.json`: what a container is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConfigRecord {
    pub(crate) version: u32,
    pub(crate) id: ContainerId,
    pub(crate) name: String,
    pub(crate) created: String,
    pub(crate) image: ImageRecord,
    pub(crate) config: Config,
    pub(crate) host_config: HostConfig,
    pub(crate) endpoints: BTreeMap<String, EndpointSettings>,
    pub(crate) mounts: Vec<MountRecord>,
    /// Key of the root file system's snapshot.
    pub(crate) snapshot: String,
}

/// What a container was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// The image's id: the digest of its index or manifest.
    pub(crate) id: Digest,
    /// The manifest of the container's platform.
    pub(crate) manifest: Descriptor,
    /// The committed snapshot of all its layers; empty for an image without layers.
    pub(crate) chain: String,
    /// `linux`.
    pub(crate) os: String,
}

/// One mount besides Docker's defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountRecord {
    pub(crate) kind: MountKind,
    pub(crate) destination: String,
    pub(crate) writable: bool,
    /// What stood behind the last colon of `-v`.
    pub(crate) mode: String,
    pub(crate) propagation: String,
}

/// Where a mount's content is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub(crate) enum MountKind {
    /// A path of the host.
    Bind {
        source: PathBuf,
        #[serde(default)]
        non_recursive: bool,
        #[serde(default)]
        read_only_recursive: bool,
    },
    /// A volume.
    Volume { name: String, source: PathBuf, anonymous: bool, subpath: String },
    /// Memory.
    Tmpfs { options: Vec<String> },
}

/// `state.json`: what a container is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    pub(crate) version: u32,
    pub(crate) phase: Phase,
    #[serde(default)]
    pub(crate) pid: u32,
    #[serde(default)]
    pub(crate) started_at: Option<Timestamp3339>,
    #[serde(default)]
    pub(crate) finished_at: Option<Timestamp3339>,
    #[serde(default)]
    pub(crate) exit_code: i64,
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) oom_killed: bool,
    /// A person stopped it: no restart policy starts it again before a person does.
    #[serde(default)]
    pub(crate) manually_stopped: bool,
    #[serde(default)]
    pub(crate) restart_count: i64,
    #[serde(default)]
    pub(crate) sandbox: Option<Sandbox>,
    /// Its task has ended like this, and is about to be forgotten by the supervisor.
    #[serde(default)]
    pub(crate) ending: Option<Ending>,
    /// The networks that it was last in, by name.
    #[serde(default)]
    pub(crate) network_ids: BTreeMap<String, String>,
    /// What its health check has found; only with one.
    #[serde(default)]
    pub(crate) health: Option<HealthRecord>,
}

/// What a health check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthRecord {
    pub(crate) status: HealthStatus,
    /// Failures since the last success that count.
    pub(crate) failing_streak: i64,
    /// The last probes, the newest at the end.
    pub(crate) log: Vec<ProbeRecord>,
}

/// A container's health in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealthStatus {
    /// No probe has decided yet.
    Starting,
    /// The last ones succeeded.
    Healthy,
    /// Too many failed, or nobody looks.
    Unhealthy,
}

impl HealthStatus {
    /// The word in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbeRecord {
    pub(crate) start: Timestamp3339,
    pub(crate) end: Timestamp3339,
    /// The command's, or -1 where there is none.
    pub(crate) exit_code: i64,
    pub(crate) output: String,
}

/// An exit that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) code: i64,
    pub(crate) at: Timestamp3339,
}

/// The states that survive a restart of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Never started, or starting failed.
    Created,
    /// Being started; found at start-up it means that the daemon died in the middle.
    Starting,
    /// Its task runs.
    Running,
    /// Its task is frozen.
    Paused,
    /// Ended.
    Exited,
    /// Ended, and waits to be started again.
    Restarting,
    /// Being removed; found at start-up, the removal is finished.
    Removing,
}

/// An instant in its RFC 3339 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Timestamp3339(pub(crate) Timestamp);

impl TryFrom<String> for Timestamp3339 {
    type Error = jiff::Error;
    fn try_from(text: String) -> std::result::Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

impl From<Timestamp3339> for String {
    fn from(time: Timestamp3339) -> Self {
        time.0.to_string()
    }
}

impl StateRecord {
    /// The state of a container that was just created.
    pub(crate) fn created() -> Self {
        Self {
            version: VERSION,
            phase: Phase::Created,
            pid: 0,
            started_at: None,
            finished_at: None,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            manually_stopped: false,
            restart_count: 0,
            sandbox: None,
            ending: None,
            network_ids: BTreeMap::new(),
            health: None,
        }
    }
}

impl ConfigRecord {
    /// The version that [`Store`] writes.
    pub(crate) const VERSION: u32 = VERSION;
}

/// The folders in which records are.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    durable: PathBuf,
    volatile: PathBuf,
}

impl Store {
    /// Makes the two folders.
    pub(crate) fn open(data_root: &Path, exec_root: &Path) -> Result<Self> {
        let store =
            Self { durable: data_root.join("containers"), volatile: exec_root.join("containers") };
        for folder in [&store.durable, &store.volatile] {
            create_private(folder).map_err(|e| Error::internal("create containers folder", e))?;
        }
        Ok(store)
    }

    /// A container's folder.
    pub(crate) fn folder(&self, id: &ContainerId, volatile: bool) -> PathBuf {
        if volatile { &self.volatile } else { &self.durable }.join(id.as_str())
    }

    /// Writes a new container's folder with both records.
    pub(crate) fn create(&self, config: &ConfigRecord, state: &StateRecord) -> Result<()> {
        let volatile = config.host_config.auto_remove;
        let folder = self.folder(&config.id, volatile);
        let step = |e| Error::internal("write container record", e);
        create_private(&folder).map_err(step)?;
        let json = serde_json::to_vec(config).map_err(|e| Error::internal("encode record", e))?;
        self.write_state(&config.id, volatile, state)?;
        // config.json comes last: a folder without it was never acknowledged.
        base_files::replace(&folder.join("config.json"), &json, 0o600, durability(volatile))
            .map_err(step)?;
        if !volatile {
            base_files::sync_parent(&folder).map_err(step)?;
        }
        Ok(())
    }

    /// Writes `state.json`; it must survive us, not the machine.
    pub(crate) fn write_state(
        &self,
        id: &ContainerId,
        volatile: bool,
        state: &StateRecord,
    ) -> Result<()> {
        let json = serde_json::to_vec(state).map_err(|e| Error::internal("encode state", e))?;
        let path = self.folder(id, volatile).join("state.json");
        base_files::replace(&path, &json, 0o600, Durability::Processes)
            .map_err(|e| Error::internal("write container state", e))
    }

    /// Removes a container's folder.
    pub(crate) fn remove(&self, id: &ContainerId, volatile: bool) -> Result<()> {
        let folder = self.folder(id, volatile);
        // config.json goes first: what is left after a crash is then a folder without it.
        let _ = std::fs::remove_file(folder.join("config.json"));
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::internal("remove container record", error))
            }
            _ => Ok(()),
        }
    }

    /// Reads every container's records; removes folders that were never acknowledged.
    pub(crate) fn load(&self) -> Result<Vec<(ConfigRecord, StateRecord)>> {
        let mut found = Vec::new();
        for root in [&self.durable, &self.volatile] {
            let step = |e: std::io::Error| Error::internal("read containers folder", e);
            for entry in std::fs::read_dir(root).map_err(step)? {
                let folder = entry.map_err(step)?.path();
                if !folder.join("config.json").exists() {
                    let _ = std::fs::remove_dir_all(&folder);
                    continue;
                }
                match load_one(&folder) {
                    Ok(records) => found.push(records),
                    Err(error) => {
                        tracing::error!(folder = %folder.display(), %error, "container not loaded");
                    }
                }
            }
        }
        Ok(found)
    }
}

fn load_one(folder: &Path) -> Result<(ConfigRecord, StateRecord)> {
    let config: ConfigRecord = read(&folder.join("config.json"))?;
    let state = match read::<StateRecord>(&folder.join("state.json")) {
        Ok(state) => state,
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "container state lost");
            StateRecord::created()
        }
    };
    let newest = config.version.max(state.version);
    if newest > VERSION {
        let text = format!("written by a newer daemon (version {newest}, known up to {VERSION})");
        return Err(Error::internal("read container record", text));
    }
    Ok((config, state))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let step = |e: String| Error::internal("read container record", e);
    let size = std::fs::metadata(path).map_err(|e| step(e.to_string()))?.len();
    if size > MAX_RECORD {
        return Err(step(format!("{} has {size} bytes", path.display())));
    }
    let bytes = std::fs::read(path).map_err(|e| step(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| step(e.to_string()))
}

const fn durability(volatile: bool) -> Durability {
    if volatile { Durability::Processes } else { Durability::PowerLoss }
}

/// Makes a folder that only root reads.
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o710).create(folder)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn config() -> ConfigRecord {
        ConfigRecord {
            version: VERSION,
            id: ContainerId::random(),
            name: "web".into(),
            created: "2026-01-01T00:00:00Z".into(),
            image: ImageRecord {
                id: Digest::from_sha256(&[1; 32]),
                manifest: Descriptor::default(),
                chain: "sha256:aa".into(),
                os: "linux".into(),
            },
            config: Config::default(),
            host_config: HostConfig::default(),
            endpoints: BTreeMap::new(),
            mounts: vec![MountRecord {
                kind: MountKind::Tmpfs { options: vec!["size=1m".into()] },
                destination: "/x".into(),
                writable: true,
                mode: String::new(),
                propagation: String::new(),
            }],
            snapshot: "s".into(),
        }
    }

    #[test]
    fn records_survive_writing_and_a_half_made_folder_is_swept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&root.path().join("data"), &root.path().join("exec")).unwrap();
        let mut volatile = config();
        volatile.host_config.auto_remove = true;
        let state = StateRecord { exit_code: 7, ..StateRecord::created() };
        for config in [config(), volatile] {
            store.create(&config, &state).unwrap();
        }
        let half = store.durable.join("half");
        std::fs::create_dir(&half).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.len(), 2);
        assert!(loaded.iter().all(|(_, s)| *s == state));
        assert!(!half.exists());
        for (config, _) in &loaded {
            store.remove(&config.id, config.host_config.auto_remove).unwrap();
        }
        assert!(store.load().unwrap().is_empty());
    }

    #[test]
    fn a_record_of_a_newer_daemon_is_refused_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&root.path().join("data"), &root.path().join("exec")).unwrap();
        let newer = ConfigRecord { version: VERSION + 1, ..config() };
        store.create(&newer, &StateRecord::created()).unwrap();
        assert!(store.load().unwrap().is_empty());
        assert!(store.folder(&newer.id, false).join("config.json").exists());
    }
}
