//! What all parts of the engine share.

use crate::container::Containers;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::exec::Execs;
use crate::images::Images;
use crate::record::Store;
use crate::spec::HostFacts;
use crate::supervisor::Supervisor;
use contracts_engine_api::container::{LogConfig, Ulimit};
use daemon_network::{Networks, NetworksConfig, ResolverOptions};
use daemon_volumes::Volumes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What the daemon's flags and `daemon.json` say about the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// `--data-root`.
    pub data_root: PathBuf,
    /// `--exec-root`.
    pub exec_root: PathBuf,
    /// The supervisor's gRPC socket.
    pub supervisor_socket: PathBuf,
    /// Networks.
    pub networks: NetworksConfig,
    /// `--log-driver` and `--log-opt`.
    pub log: LogConfig,
    /// `--default-ulimit`.
    pub default_ulimits: Vec<Ulimit>,
    /// `--cgroup-parent`.
    pub cgroup_parent: String,
    /// `--dns`, `--dns-search`, `--dns-option`.
    pub resolver: ResolverOptions,
    /// `--registry-mirror`: base URLs tried before Docker Hub.
    pub registry_mirrors: Vec<String>,
    /// `--insecure-registry`: hosts or networks reached without verified TLS.
    pub insecure_registries: Vec<String>,
    /// `--add-runtime`: names and the shims or binaries behind them.
    pub runtimes: BTreeMap<String, String>,
    /// `--default-runtime`.
    pub default_runtime: String,
    /// `--label`.
    pub labels: Vec<String>,
    /// `--debug`.
    pub debug: bool,
}

/// The name under which our own runtime is known: Docker's for its default one, since programs
/// look for it.
pub const OWN_RUNTIME: &str = "runc";
/// Docker's names for its default runtime, which mean ours here.
pub(crate) const RUNC_NAMES: [&str; 2] = ["runc", "io.containerd.runc.v2"];

impl EngineConfig {
    /// Docker's defaults below these two roots.
    #[must_use]
    pub fn new(data_root: PathBuf, exec_root: PathBuf) -> Self {
        Self {
            supervisor_socket: exec_root.join("supervisor/containerd.sock"),
            networks: NetworksConfig::new(data_root.clone(), exec_root.clone()),
            data_root,
            exec_root,
            log: LogConfig { driver: "json-file".to_owned(), config: None },
            default_ulimits: Vec::new(),
            cgroup_parent: String::new(),
            resolver: ResolverOptions::default(),
            registry_mirrors: Vec::new(),
            insecure_registries: Vec::new(),
            runtimes: BTreeMap::new(),
            default_runtime: OWN_RUNTIME.to_owned(),
            labels: Vec::new(),
            debug: false,
        }
    }
}

/// The engine's parts.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) facts: HostFacts,
    pub(crate) supervisor: Supervisor,
    pub(crate) images: Images,
    pub(crate) networks: Arc<Networks>,
    pub(crate) volumes: Volumes,
    pub(crate) store: Store,
    pub(crate) containers: Containers,
    pub(crate) execs: Execs,
    pub(crate) events: Events,
    /// A stable identity of this daemon, shown by `info`.
    pub(crate) identity: String,
}

/// Runs blocking work beside the event loop.
pub(crate) async fn blocking<T: Send + 'static>(
    step: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal(step, error))
}

impl Shared {
    /// Runs network work, which is synchronous, beside the event loop.
    pub(crate) async fn network<T: Send + 'static>(
        &self,
        step: &'static str,
        work: impl FnOnce(&Networks) -> T + Send + 'static,
    ) -> Result<T> {
        let networks = self.networks.clone();
        blocking(step, move || work(&networks)).await
    }
}
