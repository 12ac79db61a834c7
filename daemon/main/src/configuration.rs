//! `daemon.json`, laid under the command line, at the start and again on request.

mod engine;
mod file;

use crate::arguments::{Arguments, Level};
use anyhow::{Context, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;
use daemon_engine::{EngineConfig, Reloadable};
use file::{File, FileRuntime, FileUlimit, Pool};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a running daemon takes over from the file, as dockerd does; of the rest, the next start
/// takes notice.
const RELOADABLE: [&str; 7] = [
    "debug",
    "default-runtime",
    "insecure-registries",
    "labels",
    "live-restore",
    "registry-mirrors",
    "runtimes",
];

/// The daemon's settings, and where they come from.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Flags with the file's settings.
    pub(crate) arguments: Arguments,
    /// Flags alone.
    flags: Arguments,
    matches: ArgMatches,
    /// The file as it was last taken over.
    file: Map<String, Value>,
}

/// What has changed in the file since it was last read.
#[derive(Debug)]
pub(crate) struct Changes {
    /// What the engine takes over.
    pub(crate) reloadable: Reloadable,
    /// Settings that have their effect now, with what they were and are.
    pub(crate) now: Vec<(String, Value, Value)>,
    /// Settings that have it at the next start.
    pub(crate) later: Vec<String>,
    file: Map<String, Value>,
}

impl Settings {
    /// Lays the file under the flags; a setting in both is an error, as in dockerd.
    pub(crate) fn settle(mut flags: Arguments, matches: ArgMatches) -> anyhow::Result<Self> {
        // The file is read again later.
        flags.config_file = absolute(&flags.config_file)?;
        let (arguments, file) = combine(&flags, &matches)?;
        let settings = Self { arguments, flags, matches, file };
        // What is wrong is told before anything is done.
        settings.engine(PathBuf::new())?;
        Ok(settings)
    }

    /// The engine's part of the settings.
    pub(crate) fn engine(&self, socket: PathBuf) -> anyhow::Result<EngineConfig> {
        engine::config(&self.arguments, socket)
    }

    /// Reads the file again. Settings that it does not name stay as they are.
    pub(crate) fn changes(&self) -> anyhow::Result<Changes> {
        let (arguments, file) = combine(&self.flags, &self.matches)?;
        let new = engine::config(&arguments, PathBuf::new())?.reloadable;
        let old = self.engine(PathBuf::new())?.reloadable;
        let named = |key: &str| file.contains_key(key);
        let choose = |key, new, old| if named(key) { new } else { old };
        let reloadable = Reloadable {
            debug: if named("debug") { new.debug } else { old.debug },
            labels: choose("labels", new.labels, old.labels),
            registry_mirrors: choose(
                "registry-mirrors",
                new.registry_mirrors,
                old.registry_mirrors,
            ),
            insecure_registries: choose(
                "insecure-registries",
                new.insecure_registries,
                old.insecure_registries,
            ),
            runtimes: if named("runtimes") { new.runtimes } else { old.runtimes },
            default_runtime: if named("default-runtime") {
                new.default_runtime
            } else {
                old.default_runtime
            },
        };
        reloadable.check()?;
        let (mut now, mut later) = (Vec::new(), Vec::new());
        let keys: std::collections::BTreeSet<&String> =
            self.file.keys().chain(file.keys()).collect();
        for key in keys.into_iter().filter(|key| self.file.get(*key) != file.get(*key)) {
            let value = |of: &Map<String, Value>| of.get(key).cloned().unwrap_or_default();
            if RELOADABLE.contains(&key.as_str()) && named(key) {
                now.push((key.clone(), value(&self.file), value(&file)));
            } else {
                later.push(key.clone());
            }
        }
        Ok(Changes { reloadable, now, later, file })
    }

    /// Remembers changes that have been made.
    pub(crate) fn take(&mut self, changes: Changes) {
        let Reloadable {
            debug,
            labels,
            registry_mirrors,
            insecure_registries,
            runtimes,
            default_runtime,
        } = changes.reloadable;
        let arguments = &mut self.arguments;
        arguments.debug = debug;
        arguments.label = labels;
        arguments.registry_mirror = registry_mirrors;
        arguments.insecure_registry = insecure_registries;
        arguments.runtimes = runtimes;
        arguments.default_runtime = default_runtime;
        self.file = changes.file;
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{}: not a path", path.display()))
}

/// The flags with the file below them, and the file.
fn combine(
    flags: &Arguments,
    matches: &ArgMatches,
) -> anyhow::Result<(Arguments, Map<String, Value>)> {
    let path = &flags.config_file;
    let in_file = || format!("unable to configure the daemon with file {}", path.display());
    let (file, text) = file::read(path, given(matches, "config_file")).with_context(in_file)?;
    let both = conflicts(&text, matches);
    if !both.is_empty() {
        bail!(
            "{}: the following directives are specified both as a flag and in the configuration \
             file: {}",
            in_file(),
            both.join(", ")
        );
    }
    let mut arguments = lay(file, flags.clone()).with_context(in_file)?;
    // Sockets and mounts below them are named to other programs, which have other places.
    arguments.data_root = absolute(&arguments.data_root)?;
    arguments.exec_root = absolute(&arguments.exec_root)?;
    Ok((arguments, text))
}

/// The flag that says the same as a key of the file.
fn flag_of(key: &str) -> String {
    match key {
        "default-address-pools" => "default_address_pool".to_owned(),
        "default-ulimits" => "default_ulimit".to_owned(),
        "dns-opts" => "dns_opt".to_owned(),
        "hosts" => "host".to_owned(),
        "insecure-registries" => "insecure_registry".to_owned(),
        "labels" => "label".to_owned(),
        "log-opts" => "log_opt".to_owned(),
        "registry-mirrors" => "registry_mirror".to_owned(),
        other => other.replace('-', "_"),
    }
}

/// Settings that are in both places, with both values, as dockerd names them.
fn conflicts(file: &Map<String, Value>, matches: &ArgMatches) -> Vec<String> {
    let conflict = |(key, value): (&String, &Value)| {
        let flag = flag_of(key);
        let values = matches.try_get_raw(&flag).ok().flatten().filter(|_| given(matches, &flag))?;
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        let in_file = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(format!("{key}: (from flag: {}, from file: {in_file})", values.join(",")))
    };
    file.iter().filter_map(conflict).collect()
}

fn given(matches: &ArgMatches, argument: &str) -> bool {
    matches.try_contains_id(argument).unwrap_or(false)
        && matches.value_source(argument) == Some(ValueSource::CommandLine)
}

/// Puts the file's settings in their places.
fn lay(file: File, mut arguments: Arguments) -> anyhow::Result<Arguments> {
    macro_rules! lay {
        ($($key:ident => $argument:ident $(: $convert:expr)?;)*) => {
            $(if let Some(value) = file.$key {
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
        favor_dynmods => favor_dynmods;
        group => group: Some;
        hosts => host;
        icc => icc;
        init => init;
        init_path => init_path: Some;
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
        userland_proxy => userland_proxy;
        userland_proxy_path => userland_proxy_path: Some;
    }
    if let Some(level) = file.log_level {
        arguments.log_level = level_named(&level)?;
    }
    for (name, runtime) in file.runtimes.unwrap_or_default() {
        let FileRuntime { path, runtime_type } = runtime;
        arguments.runtimes.insert(name, if runtime_type.is_empty() { path } else { runtime_type });
    }
    Ok(arguments)
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

#[cfg(test)]
mod tests;
