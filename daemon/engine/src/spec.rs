//! The OCI configuration of a container, equal to what dockerd would write for it.
//!
//! Pure but for looking at host devices and a few host facts ([`HostFacts`]); everything about the
//! container comes in by [`Input`].

pub(crate) mod capabilities;
mod devices;
mod mounts;
mod resources;
pub(crate) mod seccomp;
pub(crate) mod user;

use crate::error::{Error, Result};
use crate::record::ConfigRecord;
use base_oci::runtime::{
    Capabilities, ConsoleSize, Linux, Namespace, NamespaceKind, Process, Root, Seccomp, Spec, User,
};
use contracts_engine_api::container::{HostConfig, Ulimit};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use user::Identity;

/// The version that dockerd 29 writes.
const OCI_VERSION: &str = "1.3.0";
/// Where programs are looked for when the image does not say.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Files and folders that tell too much about the host.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What is looked up once about the machine.
#[derive(Clone, Debug)]
pub(crate) struct HostFacts {
    /// A pure v2 hierarchy is mounted.
    pub(crate) cgroup_v2: bool,
    /// Capabilities that can be given.
    pub(crate) capabilities: Vec<String>,
    /// Masked paths, those that depend on the machine included.
    pub(crate) masked_paths: Vec<String>,
    /// Host name.
    pub(crate) hostname: String,
}

impl HostFacts {
    /// Looks.
    pub(crate) fn gather() -> Self {
        let mut masked_paths: Vec<String> = MASKED.iter().map(|p| (*p).to_owned()).collect();
        for cpu in 0..4096 {
            let folder = format!("/sys/devices/system/cpu/cpu{cpu}");
            if !Path::new(&folder).exists() {
                break;
            }
            let path = format!("{folder}/thermal_throttle");
            if Path::new(&path).exists() {
                masked_paths.push(path);
            }
        }
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            cgroup_v2: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            capabilities: capabilities::available(),
            masked_paths,
            hostname: hostname.trim().to_owned(),
        }
    }

    /// The list that inspect shows for an unprivileged container.
    pub(crate) fn read_only_paths() -> Vec<String> {
        READ_ONLY.iter().map(|path| (*path).to_owned()).collect()
    }
}

/// Everything that a configuration is made from.
pub(crate) struct Input<'a> {
    pub(crate) record: &'a ConfigRecord,
    pub(crate) host: &'a HostFacts,
    pub(crate) identity: Identity,
    /// The network namespace; `None` is the host's.
    pub(crate) network: Option<PathBuf>,
    /// Process whose PID namespace is joined.
    pub(crate) join_pid: Option<u32>,
    /// Process whose IPC namespace is joined.
    pub(crate) join_ipc: Option<u32>,
    /// The container's folder, with its name files.
    pub(crate) folder: &'a Path,
    pub(crate) default_ulimits: &'a [Ulimit],
    /// `--cgroup-parent` of the daemon.
    pub(crate) cgroup_parent: &'a str,
    /// The program of the init that is to run before the container's own.
    pub(crate) init: Option<&'a Path>,
}

impl Input<'_> {
    fn name_files(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("/etc/resolv.conf", self.folder.join("resolv.conf")),
            ("/etc/hostname", self.folder.join("hostname")),
            ("/etc/hosts", self.folder.join("hosts")),
        ]
    }
}

/// Makes the configuration.
pub(crate) fn generate(input: &Input<'_>) -> Result<Spec> {
    let (config, host) = (&input.record.config, &input.record.host_config);
    let (devices, device_rules) = devices::all(host)?;
    let capabilities = container_capabilities(host, input.host)?;
    let security = SecurityOptions::parse(host)?;
    let seccomp = security.seccomp(host, &capabilities)?;
    let own_uts = host.uts_mode != "host";
    Ok(Spec {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(process(input, capabilities, &security)),
        root: Some(Root { path: "rootfs".to_owned(), readonly: host.readonly_rootfs }),
        hostname: if own_uts { config.hostname.clone() } else { String::new() },
        domainname: if own_uts { config.domainname.clone() } else { String::new() },
        mounts: mounts::all(input),
        annotations: host.annotations.clone().unwrap_or_default(),
        linux: Some(Linux {
            sysctl: sysctls(input),
            resources: Some(resources::resources(host, device_rules)?),
            cgroups_path: cgroups_path(input),
            namespaces: namespaces(input),
            devices,
            seccomp: seccomp.map(|policy| (*policy).clone()),
            rootfs_propagation: rootfs_propagation(input),
            masked_paths: paths(host, host.masked_paths.as_ref(), &input.host.masked_paths),
            readonly_paths: paths(
                host,
                host.readonly_paths.as_ref(),
                &HostFacts::read_only_paths(),
            ),
            ..Linux::default()
        }),
        ..Spec::default()
    })
}

fn process(input: &Input<'_>, capabilities: Vec<String>, security: &SecurityOptions) -> Process {
    let (config, host) = (&input.record.config, &input.record.host_config);
    let [height, width] = host.console_size;
    let sized = config.tty && (height > 0 || width > 0);
    Process {
        terminal: config.tty,
        console_size: sized
            .then(|| ConsoleSize { height: u64::from(height), width: u64::from(width) }),
        user: user(&input.identity, host.umask),
        args: match input.init {
            Some(_) => [mounts::INIT.to_owned(), "--".to_owned()]
                .into_iter()
                .chain(command(input.record))
                .collect(),
            None => command(input.record),
        },
        env: environment(config.env.as_deref().unwrap_or_default(), &config.hostname, config.tty),
        cwd: if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone() },
        capabilities: Some(capability_sets(capabilities)),
        rlimits: rlimits(input.default_ulimits, host),
        no_new_privileges: security.no_new_privileges,
        apparmor_profile: security.apparmor.clone(),
        oom_score_adj: Some(i32::try_from(host.oom_score_adj).unwrap_or_default()),
        selinux_label: String::new(),
        ..Process::default()
    }
}

/// Entrypoint and command, joined.
pub(crate) fn command(record: &ConfigRecord) -> Vec<String> {
    let part = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let mut args = part(&record.config.entrypoint);
    args.extend(part(&record.config.cmd));
    args
}

/// A process' identity in the runtime's form.
pub(crate) fn user(identity: &Identity, umask: Option<u32>) -> User {
    User {
        uid: identity.uid,
        gid: identity.gid,
        additional_gids: identity.additional_gids.clone(),
        umask,
        ..User::default()
    }
}

/// The same set as bounding, permitted and effective; nothing is inheritable (CVE-2022-24769).
pub(crate) fn capability_sets(capabilities: Vec<String>) -> Capabilities {
    Capabilities {
        bounding: capabilities.clone(),
        effective: capabilities.clone(),
        permitted: capabilities,
        ..Capabilities::default()
    }
}

/// The container's capabilities.
pub(crate) fn container_capabilities(host: &HostConfig, facts: &HostFacts) -> Result<Vec<String>> {
    let list = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
    Ok(capabilities::resolve(
        host.privileged,
        &capabilities::normalize("CapAdd", &list(&host.cap_add))?,
        &capabilities::normalize("CapDrop", &list(&host.cap_drop))?,
        &facts.capabilities,
    ))
}

/// Resource limits of a container's processes.
pub(crate) fn rlimits(defaults: &[Ulimit], host: &HostConfig) -> Vec<base_oci::runtime::Rlimit> {
    resources::rlimits(defaults, host.ulimits.as_deref().unwrap_or_default())
}

/// Docker's variables, then the container's own, each name once; `NAME` alone removes it.
pub(crate) fn environment(own: &[String], hostname: &str, tty: bool) -> Vec<String> {
    let mut all = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if tty {
        all.push("TERM=xterm".to_owned());
    }
    merge_environment(&mut all, own);
    all
}

/// Puts variables over others, keeping the place of those that are there.
pub(crate) fn merge_environment(all: &mut Vec<String>, over: &[String]) {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    for variable in over {
        let of = name(variable);
        let place = all.iter().position(|one| name(one) == of);
        match (place, variable.contains('=')) {
            (Some(at), true) => all[at] = variable.clone(),
            (Some(at), false) => drop(all.remove(at)),
            (None, true) => all.push(variable.clone()),
            (None, false) => {}
        }
    }
}

fn paths(host: &HostConfig, asked: Option<&Vec<String>>, default: &[String]) -> Vec<String> {
    match asked {
        _ if host.privileged => Vec::new(),
        Some(list) => list.clone(),
        None => default.to_vec(),
    }
}

fn namespaces(input: &Input<'_>) -> Vec<Namespace> {
    let host = &input.record.host_config;
    let own = |kind| Namespace { kind, path: String::new() };
    let joined =
        |kind, pid: u32, name: &str| Namespace { kind, path: format!("/proc/{pid}/ns/{name}") };
    let mut list = vec![own(NamespaceKind::Mount)];
    if let Some(path) = &input.network {
        list.push(Namespace { kind: NamespaceKind::Network, path: path.display().to_string() });
    }
    if host.uts_mode != "host" {
        list.push(own(NamespaceKind::Uts));
    }
    match input.join_pid {
        Some(pid) => list.push(joined(NamespaceKind::Pid, pid, "pid")),
        None if host.pid_mode == "host" => {}
        None => list.push(own(NamespaceKind::Pid)),
    }
    match input.join_ipc {
        Some(pid) => list.push(joined(NamespaceKind::Ipc, pid, "ipc")),
        None if host.ipc_mode == "host" => {}
        None => list.push(own(NamespaceKind::Ipc)),
    }
    if host.cgroupns_mode == "private" {
        list.push(own(NamespaceKind::Cgroup));
    }
    list
}

fn sysctls(input: &Input<'_>) -> BTreeMap<String, String> {
    let host = &input.record.host_config;
    let mut all = BTreeMap::new();
    if host.network_mode != "host" {
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        all.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    all.extend(host.sysctls.clone().unwrap_or_default());
    all
}

fn cgroups_path(input: &Input<'_>) -> String {
    let own = &input.record.host_config.cgroup_parent;
    let parent = match (own.is_empty(), input.cgroup_parent.is_empty()) {
        (false, _) => own.as_str(),
        (true, false) => input.cgroup_parent,
        (true, true) => "/docker",
    };
    format!("{}/{}", parent.trim_end_matches('/'), input.record.id)
}

/// Shared or slave mounts need a root that lets events through.
fn rootfs_propagation(input: &Input<'_>) -> String {
    let any = |names: &[&str]| {
        input.record.mounts.iter().any(|mount| names.contains(&mount.propagation.as_str()))
    };
    if any(&["shared", "rshared"]) {
        "shared".to_owned()
    } else if any(&["slave", "rslave"]) {
        "rslave".to_owned()
    } else {
        String::new()
    }
}

/// `--security-opt`.
#[derive(Debug, Default)]
pub(crate) struct SecurityOptions {
    pub(crate) no_new_privileges: bool,
    pub(crate) apparmor: String,
    seccomp: Option<String>,
}

impl SecurityOptions {
    /// Reads the list; both `key=value` and the older `key:value` are taken.
    pub(crate) fn parse(host: &HostConfig) -> Result<Self> {
        let mut options = Self::default();
        for option in host.security_opt.iter().flatten() {
            if option == "no-new-privileges" {
                options.no_new_privileges = true;
                continue;
            }
            let invalid = || Error::invalid(format!("invalid --security-opt 2: {option:?}"));
            let (key, value) =
                option.split_once('=').or_else(|| option.split_once(':')).ok_or_else(invalid)?;
            match key {
                "no-new-privileges" => {
                    options.no_new_privileges = match value {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(invalid()),
                    };
                }
                "seccomp" => options.seccomp = Some(value.to_owned()),
                "apparmor" => {
                    options.apparmor =
                        if value == "unconfined" { String::new() } else { value.to_owned() };
                }
                "label" | "writable-cgroups" => {}
                _ => return Err(invalid()),
            }
        }
        Ok(options)
    }

    fn seccomp(&self, host: &HostConfig, capabilities: &[String]) -> Result<Option<Arc<Seccomp>>> {
        match self.seccomp.as_deref() {
            _ if host.privileged => Ok(None),
            Some("unconfined") => Ok(None),
            None | Some("builtin") => Ok(Some(seccomp::default_policy(capabilities))),
            Some(json) => seccomp::user_policy(json, capabilities).map(|p| Some(Arc::new(p))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::config;

    fn facts() -> HostFacts {
        HostFacts {
            cgroup_v2: false,
            capabilities: vec!["CAP_CHOWN".into(), "CAP_SYS_ADMIN".into()],
            masked_paths: MASKED.iter().map(|p| (*p).to_owned()).collect(),
            hostname: "host".into(),
        }
    }

    fn spec(record: &ConfigRecord) -> Spec {
        spec_with(record, None)
    }

    fn spec_with(record: &ConfigRecord, init: Option<&Path>) -> Spec {
        generate(&Input {
            record,
            host: &facts(),
            identity: Identity { uid: 0, gid: 0, additional_gids: vec![0] },
            network: Some("/run/gantry/netns/x".into()),
            join_pid: None,
            join_ipc: None,
            folder: Path::new("/c"),
            default_ulimits: &[],
            cgroup_parent: "",
            init,
        })
        .unwrap()
    }

    fn record() -> ConfigRecord {
        let mut record = config();
        record.mounts.clear();
        record.config.cmd = Some(vec!["true".into()]);
        record.config.hostname = "abc".into();
        record.host_config.shm_size = 67_108_864;
        record
    }

    #[test]
    fn a_plain_container_has_dockers_mounts_in_dockers_order() {
        let spec = spec(&record());
        let destinations: Vec<&str> = spec.mounts.iter().map(|m| m.destination.as_str()).collect();
        assert_eq!(
            destinations,
            [
                "/proc",
                "/dev",
                "/dev/pts",
                "/sys",
                "/sys/fs/cgroup",
                "/dev/mqueue",
                "/dev/shm",
                "/etc/resolv.conf",
                "/etc/hostname",
                "/etc/hosts",
            ]
        );
        assert_eq!(spec.mounts[6].options.last().unwrap(), "size=67108864");
    }

    #[test]
    fn an_init_stands_before_the_command_and_cannot_be_written() {
        let spec = spec_with(&record(), Some(Path::new("/usr/bin/gantry-init")));
        assert_eq!(spec.process.unwrap().args, ["/sbin/docker-init", "--", "true"]);
        let init = spec.mounts.iter().find(|mount| mount.destination == "/sbin/docker-init");
        let init = init.unwrap();
        assert_eq!(init.source, "/usr/bin/gantry-init");
        assert_eq!(init.options, ["bind", "ro"]);
    }

    #[test]
    fn a_plain_container_has_dockers_environment_and_limits() {
        let record = record();
        let spec = spec(&record);
        let process = spec.process.unwrap();
        assert_eq!(process.env, [DEFAULT_PATH, "HOSTNAME=abc"]);
        assert_eq!(process.capabilities.unwrap().bounding.len(), 14);
        let linux = spec.linux.unwrap();
        assert_eq!(linux.cgroups_path, format!("/docker/{}", record.id));
        assert_eq!(linux.sysctl["net.ipv4.ip_unprivileged_port_start"], "0");
        assert_eq!(linux.masked_paths.len(), 12);
        assert_eq!(linux.resources.unwrap().devices.len(), 8);
        assert!(linux.seccomp.is_some());
    }

    #[test]
    fn privileged_lifts_masks_filter_and_read_only_mounts() {
        let mut record = record();
        record.host_config.privileged = true;
        let spec = spec(&record);
        let linux = spec.linux.unwrap();
        assert!(linux.seccomp.is_none() && linux.masked_paths.is_empty());
        assert!(spec.mounts.iter().all(|mount| !mount.options.contains(&"ro".to_owned())));
        assert_eq!(spec.process.unwrap().capabilities.unwrap().effective.len(), 2);
    }

    #[test]
    fn user_mounts_replace_defaults_and_go_by_depth() {
        use crate::record::{MountKind, MountRecord};
        let mut record = record();
        for destination in ["/a/b/c", "/a", "/dev/shm"] {
            record.mounts.push(MountRecord {
                kind: MountKind::Bind {
                    source: "/src".into(),
                    non_recursive: false,
                    read_only_recursive: true,
                },
                destination: destination.into(),
                writable: destination != "/a",
                mode: String::new(),
                propagation: "rprivate".into(),
            });
        }
        let spec = spec(&record);
        let at = |d: &str| spec.mounts.iter().position(|m| m.destination == d).unwrap();
        assert!(at("/a") < at("/dev/shm") && at("/dev/shm") < at("/a/b/c"));
        assert_eq!(spec.mounts.iter().filter(|m| m.destination == "/dev/shm").count(), 1);
        assert_eq!(spec.mounts[at("/a")].options, ["rbind", "rro", "rprivate"]);
    }

    #[test]
    fn variables_replace_in_place_and_a_bare_name_removes() {
        let own: Vec<String> =
            ["PATH=/x", "A=1", "A=2", "HOSTNAME"].iter().map(|v| (*v).to_owned()).collect();
        assert_eq!(environment(&own, "h", true), ["PATH=/x", "TERM=xterm", "A=2"]);
    }

    #[test]
    fn cpus_become_a_quota_and_swap_is_passed_on() {
        let mut record = record();
        record.host_config.nano_cpus = 1_500_000_000;
        record.host_config.memory = 64 << 20;
        record.host_config.memory_swap = 128 << 20;
        record.host_config.pids_limit = Some(0);
        let resources = spec(&record).linux.unwrap().resources.unwrap();
        let cpu = resources.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
        assert_eq!(resources.memory.unwrap().swap, Some(128 << 20));
        assert_eq!(resources.pids.unwrap().limit, Some(-1));
    }
}
