//! The mounts of a container, in dockerd's order.

use super::Input;
use crate::record::{MountKind, MountRecord};
use base_oci::runtime::Mount;

/// Where the init of a container that asks for one is.
pub(super) const INIT: &str = "/sbin/docker-init";

/// What every container has (moby `daemon/pkg/oci`): destination, type, source, options.
const DEFAULTS: &[(&str, &str, &str, &[&str])] = &[
    ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
    ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777"]),
];

/// Lists the mounts: Docker's defaults that the user did not replace, then the user's and the
/// name files, shallow ones first.
pub(super) fn all(input: &Input<'_>) -> Vec<Mount> {
    let host_config = &input.record.host_config;
    let mut own: Vec<Mount> = input.record.mounts.iter().map(of_record).collect();
    // A container that may not write its root may not write these either.
    let name_file: &[&str] =
        if host_config.readonly_rootfs { &["ro", "rprivate"] } else { &["rprivate"] };
    for (destination, source) in input.name_files() {
        if own.iter().all(|mount| mount.destination != destination) {
            own.push(bind(destination, &source.display().to_string(), name_file));
        }
    }
    if host_config.ipc_mode == "host" && own.iter().all(|m| m.destination != "/dev/shm") {
        own.push(bind("/dev/shm", "/dev/shm", &["rprivate"]));
    }
    own.sort_by_key(|mount| mount.destination.split('/').filter(|part| !part.is_empty()).count());
    if let Some(program) = input.init {
        let mut init = bind(INIT, &program.display().to_string(), &["ro"]);
        init.options[0] = "bind".to_owned();
        own.push(init);
    }
    let replaced = |destination: &str| {
        own.iter().any(|mount| mount.destination == destination)
            || (destination == "/dev/shm" && host_config.ipc_mode == "none")
    };
    let dev_replaced = replaced("/dev");
    let mut mounts: Vec<Mount> = DEFAULTS
        .iter()
        .filter(|(destination, ..)| !replaced(destination))
        .filter(|(destination, ..)| !(dev_replaced && destination.starts_with("/dev/")))
        .map(|(destination, fstype, source, options)| {
            let mut options: Vec<String> = options.iter().map(|one| (*one).to_owned()).collect();
            if *destination == "/dev/shm" {
                options.push(format!("size={}", host_config.shm_size));
            }
            if host_config.privileged && matches!(*fstype, "sysfs" | "cgroup") {
                options.retain(|option| option != "ro");
            }
            Mount {
                destination: (*destination).to_owned(),
                fstype: (*fstype).to_owned(),
                source: (*source).to_owned(),
                options,
                ..Mount::default()
            }
        })
        .collect();
    mounts.extend(own);
    mounts
}

fn bind(destination: &str, source: &str, options: &[&str]) -> Mount {
    let mut all = vec!["rbind".to_owned()];
    all.extend(options.iter().map(|one| (*one).to_owned()));
    Mount {
        destination: destination.to_owned(),
        fstype: "bind".to_owned(),
        source: source.to_owned(),
        options: all,
        ..Mount::default()
    }
}

fn of_record(record: &MountRecord) -> Mount {
    let propagation =
        if record.propagation.is_empty() { "rprivate" } else { record.propagation.as_str() };
    match &record.kind {
        MountKind::Bind { source, non_recursive, read_only_recursive } => {
            let mut mount =
                bind(&record.destination, &source.display().to_string(), &[propagation]);
            if *non_recursive {
                mount.options[0] = "bind".to_owned();
            }
            if !record.writable {
                let option = if *read_only_recursive { "rro" } else { "ro" };
                mount.options.insert(1, option.to_owned());
            }
            mount
        }
        MountKind::Volume { source, subpath, .. } => {
            let source = if subpath.is_empty() { source.clone() } else { source.join(subpath) };
            let mut mount =
                bind(&record.destination, &source.display().to_string(), &[propagation]);
            if !record.writable {
                mount.options.insert(1, "ro".to_owned());
            }
            mount
        }
        MountKind::Tmpfs { options } => {
            // The user's options override these by coming later (moby `mount.MergeTmpfsOptions`).
            let defaults = ["noexec", "nosuid", "nodev", "rprivate"];
            let opposite = |name: &str| match name {
                "noexec" => "exec",
                "nosuid" => "suid",
                _ => "dev",
            };
            let mut all: Vec<String> = defaults
                .iter()
                .filter(|name| !options.iter().any(|option| option == opposite(name)))
                .map(|name| (*name).to_owned())
                .collect();
            if !record.writable {
                all.push("ro".to_owned());
            }
            for option in options {
                if !all.contains(option) {
                    all.push(option.clone());
                }
            }
            Mount {
                destination: record.destination.clone(),
                fstype: "tmpfs".to_owned(),
                source: "tmpfs".to_owned(),
                options: all,
                ..Mount::default()
            }
        }
    }
}
