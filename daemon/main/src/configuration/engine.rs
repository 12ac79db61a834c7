//! The engine's part of the settings.

use crate::arguments::Arguments;
use crate::programs;
use anyhow::Context;
use contracts_engine_api::container::{LogConfig, Ulimit};
use daemon_engine::{EngineConfig, Reloadable};
use daemon_network::{AddressPool, NetworksConfig, ResolverOptions};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Our own init, for `--init`.
const INIT: &str = "gantry-init";
/// What carries ports that are published on IPv6 addresses.
const PROXY: &str = "gantry-proxy";

/// What the engine is opened with.
pub(super) fn config(settings: &Arguments, socket: PathBuf) -> anyhow::Result<EngineConfig> {
    let mut config = EngineConfig::new(settings.data_root.clone(), settings.exec_root.clone());
    config.supervisor_socket = socket;
    config.networks = networks(settings)?;
    let mut options = settings.log_opts.clone();
    options.extend(pairs(&settings.log_opt));
    config.log = LogConfig {
        driver: settings.log_driver.clone(),
        config: (!options.is_empty()).then_some(options),
    };
    config.default_ulimits =
        settings.default_ulimit.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?;
    config.cgroup_parent.clone_from(&settings.cgroup_parent);
    config.resolver = ResolverOptions {
        servers: settings
            .dns
            .iter()
            .map(|text| text.parse().with_context(|| format!("--dns {text}")))
            .collect::<Result<_, _>>()?,
        search: settings.dns_search.clone(),
        options: settings.dns_opt.clone(),
    };
    config.init = settings.init;
    let init = settings.init_path.clone().unwrap_or_else(|| INIT.into());
    config.init_path = programs::find(&init).unwrap_or(init);
    let mut runtimes = settings.runtimes.clone();
    runtimes.extend(pairs(&settings.add_runtime));
    config.reloadable = Reloadable {
        debug: settings.debug,
        labels: settings.label.clone(),
        registry_mirrors: settings.registry_mirror.clone(),
        insecure_registries: settings.insecure_registry.clone(),
        runtimes,
        default_runtime: settings.default_runtime.clone(),
    };
    config.reloadable.check()?;
    Ok(config)
}

/// Where the proxy is, if it is wanted. One that was not named may be missing.
fn userland_proxy(settings: &Arguments) -> anyhow::Result<Option<PathBuf>> {
    if !settings.userland_proxy {
        return Ok(None);
    }
    if let Some(path) = &settings.userland_proxy_path {
        let found = programs::find(path).filter(|path| path.is_file());
        return found
            .with_context(|| format!("--userland-proxy-path {}", path.display()))
            .map(Some);
    }
    let found = programs::find(PROXY.as_ref());
    if found.is_none() {
        tracing::warn!(program = PROXY, "not found; ports are published on IPv4 only");
    }
    Ok(found)
}

fn networks(settings: &Arguments) -> anyhow::Result<NetworksConfig> {
    let mut config = NetworksConfig::new(settings.data_root.clone(), settings.exec_root.clone());
    config.bridge.clone_from(&settings.bridge);
    if let Some(text) = &settings.bip {
        let pair = text.split_once('/').and_then(|(address, length)| {
            Some((address.parse().ok()?, length.parse().ok().filter(|length| *length <= 32)?))
        });
        config.bip = Some(pair.with_context(|| format!("--bip {text}: not ADDRESS/LENGTH"))?);
    }
    for text in &settings.default_address_pool {
        let value = |key: &str| text.split(',').find_map(|part| part.trim().strip_prefix(key));
        let pool = value("base=").zip(value("size=")).and_then(|(base, size)| {
            Some(AddressPool { base: base.parse().ok()?, size: size.parse().ok()? })
        });
        let wrong = || format!("--default-address-pool {text}: not base=CIDR,size=LENGTH");
        config.default_address_pools.push(pool.with_context(wrong)?);
    }
    config.mtu = settings.mtu;
    config.inter_container = settings.icc;
    config.masquerade = settings.ip_masq;
    config.host_binding_ipv4 = settings.ip;
    config.ip_forward = settings.ip_forward;
    config.sandbox_pool_size = settings.sandbox_pool;
    config.userland_proxy = userland_proxy(settings)?;
    Ok(config)
}

/// `nofile=1024:2048`.
fn ulimit(text: &str) -> anyhow::Result<Ulimit> {
    let wrong = || format!("--default-ulimit {text}: not NAME=SOFT[:HARD]");
    let (name, limits) = text.split_once('=').with_context(wrong)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Ok(Ulimit {
        name: name.to_owned(),
        hard: hard.parse().with_context(wrong)?,
        soft: soft.parse().with_context(wrong)?,
    })
}

/// `KEY=VALUE`, many times.
fn pairs(list: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    list.iter().map(pair).collect()
}
