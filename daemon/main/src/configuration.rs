//! `daemon.json`, laid under the command line, and both as the engine's configuration.

use crate::arguments::{Arguments, Level};
use anyhow::{Context, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;
use contracts_engine_api::container::{LogConfig, Ulimit};
use daemon_engine::EngineConfig;
use daemon_network::{AddressPool, NetworksConfig, ResolverOptions};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// A larger configuration is not read.
const MAX_FILE: u64 = 1 << 20;

/// `daemon.json`, by dockerd's names; what is unknown is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    bip: Option<String>,
    bridge: Option<String>,
    cgroup_parent: Option<String>,
    containerd: Option<PathBuf>,
    data_root: Option<PathBuf>,
    debug: Option<bool>,
    default_address_pools: Option<Vec<Pool>>,
    default_runtime: Option<String>,
    default_ulimits: Option<BTreeMap<String, FileUlimit>>,
    dns: Option<Vec<String>>,
    dns_opts: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
    exec_root: Option<PathBuf>,
    group: Option<String>,
    hosts: Option<Vec<String>>,
    icc: Option<bool>,
    insecure_registries: Option<Vec<String>>,
    ip: Option<Ipv4Addr>,
    ip_forward: Option<bool>,
    ip_masq: Option<bool>,
    labels: Option<Vec<String>>,
    live_restore: Option<bool>,
    log_driver: Option<String>,
    log_level: Option<String>,
    log_opts: Option<BTreeMap<String, String>>,
    min_api_version: Option<String>,
    mtu: Option<u32>,
    pidfile: Option<PathBuf>,
    registry_mirrors: Option<Vec<String>>,
    runtimes: Option<BTreeMap<String, FileRuntime>>,
    tls: Option<bool>,
    tlscacert: Option<PathBuf>,
    tlscert: Option<PathBuf>,
    tlskey: Option<PathBuf>,
    tlsverify: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Pool {
    base: String,
    size: u8,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FileUlimit {
    hard: i64,
    soft: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileRuntime {
    path: String,
    #[serde(rename = "runtimeType")]
    runtime_type: String,
}

/// Lays the file under the flags; a setting in both is an error, as in dockerd.
pub(crate) fn settle(mut arguments: Arguments, matches: &ArgMatches) -> anyhow::Result<Arguments> {
    let path = arguments.config_file.clone();
    let named = given(matches, "config_file");
    let Some(file) = read(&path, named)? else { return Ok(arguments) };
    let mut both = Vec::new();
    macro_rules! lay {
        ($($key:ident => $argument:ident $(: $convert:expr)?;)*) => {
            $(if let Some(value) = file.$key {
                if given(matches, stringify!($argument)) {
                    both.push(stringify!($key).replace('_', "-"));
                }
                arguments.$argument = lay!(@value value $(, $convert)?);
            })*
        };
        (@value $value:ident) => { $value };
        (@value $value:ident, $convert:expr) => { $convert($value) };
    }
    lay! {
        bip => bip: Some;
        bridge => bridge: Some;
        cgroup_parent => cgroup_parent;
        containerd => containerd: Some;
        data_root => data_root;
        debug => debug;
        default_address_pools => default_address_pool: |list: Vec<Pool>| pools(&list);
        default_runtime => default_runtime;
        default_ulimits => default_ulimit: ulimits;
        dns => dns;
        dns_opts => dns_opt;
        dns_search => dns_search;
        exec_root => exec_root;
        group => group: Some;
        hosts => host;
        icc => icc;
        insecure_registries => insecure_registry;
        ip => ip;
        ip_forward => ip_forward;
        ip_masq => ip_masq;
        labels => label;
        live_restore => live_restore;
        log_driver => log_driver;
        log_opts => log_opts;
        min_api_version => min_api_version: Some;
        mtu => mtu;
        pidfile => pidfile: Some;
        registry_mirrors => registry_mirror;
        tls => tls;
        tlscacert => tlscacert;
        tlscert => tlscert;
        tlskey => tlskey;
        tlsverify => tlsverify;
    }
    if let Some(level) = file.log_level {
        arguments.log_level = level_named(&level)?;
    }
    for (name, runtime) in file.runtimes.unwrap_or_default() {
        let FileRuntime { path, runtime_type } = runtime;
        arguments.runtimes.insert(name, if runtime_type.is_empty() { path } else { runtime_type });
    }
    if !both.is_empty() {
        bail!(
            "unable to configure the daemon with file {}: the following directives are specified \
             both as a flag and in the configuration file: {}",
            path.display(),
            both.join(", ")
        );
    }
    Ok(arguments)
}

fn given(matches: &ArgMatches, argument: &str) -> bool {
    matches.try_contains_id(argument).unwrap_or(false)
        && matches.value_source(argument) == Some(ValueSource::CommandLine)
}

fn read(path: &Path, named: bool) -> anyhow::Result<Option<File>> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    if metadata.len() > MAX_FILE {
        bail!("{} is larger than {MAX_FILE} bytes", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let file = serde_json::from_str(&text);
    file.map(Some)
        .with_context(|| format!("unable to configure the daemon with file {}", path.display()))
}

fn level_named(name: &str) -> anyhow::Result<Level> {
    <Level as clap::ValueEnum>::from_str(name, true)
        .map_err(|error| anyhow::anyhow!("log-level: {error}"))
}

fn pools(pools: &[Pool]) -> Vec<String> {
    pools.iter().map(|pool| format!("base={},size={}", pool.base, pool.size)).collect()
}

fn ulimits(ulimits: BTreeMap<String, FileUlimit>) -> Vec<String> {
    let one = |(name, limit): (String, FileUlimit)| format!("{name}={}:{}", limit.soft, limit.hard);
    ulimits.into_iter().map(one).collect()
}

/// The engine's part of the settings.
pub(crate) fn engine(settings: &Arguments, socket: PathBuf) -> anyhow::Result<EngineConfig> {
    let pairs = |list: &[String]| -> BTreeMap<String, String> {
        let pair = |text: &String| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), value.to_owned())
        };
        list.iter().map(pair).collect()
    };
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
    config.registry_mirrors.clone_from(&settings.registry_mirror);
    config.insecure_registries.clone_from(&settings.insecure_registry);
    config.runtimes.clone_from(&settings.runtimes);
    config.runtimes.extend(pairs(&settings.add_runtime));
    config.default_runtime.clone_from(&settings.default_runtime);
    config.labels.clone_from(&settings.label);
    config.debug = settings.debug;
    Ok(config)
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    fn settled(flags: &[&str], json: &str) -> anyhow::Result<Arguments> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        std::fs::write(&path, json).unwrap();
        let path = path.display().to_string();
        let words = ["gantryd", "--config-file", &path].into_iter().chain(flags.iter().copied());
        let matches = Arguments::command().get_matches_from(words);
        settle(Arguments::from_arg_matches(&matches).unwrap(), &matches)
    }

    #[test]
    fn the_file_sets_what_flags_leave_open() {
        let json = r#"{"hosts":["unix:///x"],"log-opts":{"max-size":"1m"},"bip":"10.9.0.1/24",
            "default-ulimits":{"nofile":{"Name":"nofile","Hard":20,"Soft":10}},
            "runtimes":{"runc2":{"path":"/usr/bin/runc"}},"log-level":"warn"}"#;
        let settings = settled(&["--mtu", "1400"], json).unwrap();
        assert_eq!(settings.hosts(), ["unix:///x"]);
        let config = engine(&settings, "/s".into()).unwrap();
        assert_eq!(config.log.config.unwrap()["max-size"], "1m");
        assert_eq!(config.networks.bip, Some((Ipv4Addr::new(10, 9, 0, 1), 24)));
        assert_eq!(config.default_ulimits[0].hard, 20);
        assert_eq!(config.runtimes["runc2"], "/usr/bin/runc");
    }

    #[test]
    fn settings_in_both_places_and_unknown_ones_are_refused() {
        let both = settled(&["--mtu", "1400"], r#"{"mtu":1300}"#).unwrap_err().to_string();
        assert!(both.contains("both as a flag and in the configuration file: mtu"), "{both}");
        assert!(settled(&[], r#"{"colour":"red"}"#).is_err());
    }
}
