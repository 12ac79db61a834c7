//! What all parts of the engine share.

use crate::container::Containers;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::exec::Execs;
use crate::images::{self, Images};
use crate::record::Store;
use crate::spec::HostFacts;
use crate::supervisor::Supervisor;
use crate::volumes::VolumeClaims;
use contracts_engine_api::container::{LogConfig, Ulimit};
use daemon_network::{Networks, NetworksConfig, ResolverOptions};
use daemon_volumes::Volumes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

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
    /// `--init`: containers that do not say get an init.
    pub init: bool,
    /// `--init-path`: the init's program.
    pub init_path: PathBuf,
    /// What may change while the daemon runs.
    pub reloadable: Reloadable,
}

/// The settings that a running daemon takes over from a changed configuration, as dockerd does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloadable {
    /// `--debug`.
    pub debug: bool,
    /// `--label`.
    pub labels: Vec<String>,
    /// `--registry-mirror`: base URLs tried before Docker Hub.
    pub registry_mirrors: Vec<String>,
    /// `--insecure-registry`: hosts or networks reached without verified TLS.
    pub insecure_registries: Vec<String>,
    /// `--add-runtime`: names and the shims or binaries behind them.
    pub runtimes: BTreeMap<String, String>,
    /// `--default-runtime`.
    pub default_runtime: String,
}

impl Default for Reloadable {
    fn default() -> Self {
        Self {
            debug: false,
            labels: Vec::new(),
            registry_mirrors: Vec::new(),
            insecure_registries: Vec::new(),
            runtimes: BTreeMap::new(),
            default_runtime: OWN_RUNTIME.to_owned(),
        }
    }
}

impl Reloadable {
    /// Checks that the settings have a meaning.
    ///
    /// # Errors
    /// The first that has none.
    pub fn check(&self) -> Result<()> {
        let invalid = |text: String| Err(Error::Invalid(text));
        if !self.knows_runtime(&self.default_runtime) {
            let name = &self.default_runtime;
            return invalid(format!("specified default runtime '{name}' does not exist"));
        }
        if let Some(label) = self.labels.iter().find(|label| !label.contains('=')) {
            return invalid(format!("bad attribute format: {label}"));
        }
        for mirror in &self.registry_mirrors {
            let host = ["http://", "https://"].iter().find_map(|s| mirror.strip_prefix(s));
            let host = host.map(|rest| rest.trim_end_matches('/'));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@'])) {
                return invalid(format!("invalid mirror: {mirror:?} is not http[s]://HOST[:PORT]"));
            }
        }
        for registry in &self.insecure_registries {
            // A network, or a host that becomes a folder's name.
            let host = registry.split('/').next().unwrap_or_default();
            let hosts = registry.parse::<std::net::Ipv6Addr>().is_ok()
                || (!host.is_empty() && !host.starts_with('.'));
            if !hosts || registry.contains("://") || registry.split('/').count() > 2 {
                return invalid(format!("insecure registry {registry} is not valid"));
            }
        }
        Ok(())
    }

    /// Whether containers can have this runtime.
    pub(crate) fn knows_runtime(&self, name: &str) -> bool {
        RUNC_NAMES.contains(&name)
            || self.runtimes.contains_key(name)
            || name.starts_with("io.containerd.")
    }
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
            init: false,
            init_path: PathBuf::from("gantry-init"),
            reloadable: Reloadable::default(),
        }
    }
}

/// The engine's parts.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) reloadable: RwLock<Arc<Reloadable>>,
    pub(crate) facts: HostFacts,
    pub(crate) supervisor: Supervisor,
    pub(crate) images: Images,
    pub(crate) networks: Arc<Networks>,
    pub(crate) volumes: Volumes,
    pub(crate) volume_claims: VolumeClaims,
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
    /// The settings that may change, as they are now.
    pub(crate) fn reloadable(&self) -> Arc<Reloadable> {
        self.reloadable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over changed settings and tells so.
    pub(crate) fn reload(&self, new: Reloadable) -> Result<()> {
        new.check()?;
        let root = &self.config.exec_root;
        images::write_hosts(root, &new.registry_mirrors, &new.insecure_registries)
            .map_err(|error| Error::internal("write registry hosts", error))?;
        let json = |list: &[String]| serde_json::to_string(list).unwrap_or_default();
        let pairs: Vec<String> =
            new.runtimes.iter().map(|(name, path)| format!("{name}:{path}")).collect();
        let attributes = [
            ("name", self.facts.hostname.clone()),
            ("debug", new.debug.to_string()),
            ("default-runtime", new.default_runtime.clone()),
            ("insecure-registries", json(&new.insecure_registries)),
            ("labels", json(&new.labels)),
            ("live-restore", "true".to_owned()),
            ("registry-mirrors", json(&new.registry_mirrors)),
            ("runtimes", pairs.join(" ")),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
        *self.reloadable.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        self.events.emit("daemon", "reload", &self.identity, attributes);
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_a_meaning_are_refused() {
        let good = Reloadable {
            labels: vec!["a=b".to_owned()],
            registry_mirrors: vec!["http://127.0.0.1:5000/".to_owned()],
            insecure_registries: ["here:5000", "10.0.0.0/8", "::1/128"].map(str::to_owned).into(),
            ..Reloadable::default()
        };
        good.check().unwrap();
        let list = |text: &str| vec![text.to_owned()];
        for bad in [
            Reloadable { labels: list("a"), ..good.clone() },
            Reloadable { registry_mirrors: list("ftp://x"), ..good.clone() },
            Reloadable { registry_mirrors: list("http://x/path"), ..good.clone() },
            Reloadable { insecure_registries: list("../x"), ..good.clone() },
            Reloadable { insecure_registries: list("http://x"), ..good.clone() },
            Reloadable { default_runtime: "nosuch".to_owned(), ..good.clone() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
