//! `spec`: a configuration to begin with.

use super::document;
use crate::Global;
use crate::arguments::Parsed;
use crate::failure::Failure;
use base_oci::runtime::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process,
    Resources, Rlimit, Root, Spec, VERSION,
};
use std::path::Path;

/// `spec`.
pub(crate) fn spec(_: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let bundle = Path::new(parsed.flags.value("bundle").unwrap_or("."));
    let path = bundle.join("config.json");
    if path.exists() {
        return Err(Failure::Other("File config.json exists. Remove it first".to_owned()));
    }
    let mut spec = example();
    if parsed.flags.has("rootless") {
        make_rootless(&mut spec);
    }
    let text = format!("{}\n", document::pretty(&spec)?);
    std::fs::write(&path, text)
        .map_err(|error| Failure::Other(format!("write {}: {error}", path.display())))?;
    Ok(0)
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn mount(destination: &str, fstype: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        fstype: fstype.to_owned(),
        source: source.to_owned(),
        options: strings(options),
        ..Mount::default()
    }
}

fn example() -> Spec {
    let capabilities = strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Spec {
        oci_version: VERSION.to_owned(),
        process: Some(Process {
            terminal: true,
            args: strings(&["sh"]),
            env: strings(&[
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ]),
            cwd: "/".to_owned(),
            capabilities: Some(Capabilities {
                bounding: capabilities.clone(),
                effective: capabilities.clone(),
                permitted: capabilities,
                ..Capabilities::default()
            }),
            rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".to_owned(), hard: 1024, soft: 1024 }],
            no_new_privileges: true,
            ..Process::default()
        }),
        root: Some(Root { path: "rootfs".to_owned(), readonly: true }),
        hostname: "gantry".to_owned(),
        mounts: mounts(),
        linux: Some(Linux {
            resources: Some(Resources {
                devices: vec![DeviceRule {
                    allow: false,
                    access: "rwm".to_owned(),
                    ..DeviceRule::default()
                }],
                ..Resources::default()
            }),
            namespaces: [
                NamespaceKind::Pid,
                NamespaceKind::Network,
                NamespaceKind::Ipc,
                NamespaceKind::Uts,
                NamespaceKind::Mount,
                NamespaceKind::Cgroup,
            ]
            .map(|kind| Namespace { kind, path: String::new() })
            .to_vec(),
            masked_paths: strings(&[
                "/proc/acpi",
                "/proc/asound",
                "/proc/interrupts",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/sys/devices/virtual/powercap",
                "/proc/scsi",
            ]),
            readonly_paths: strings(&[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ]),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

fn mounts() -> Vec<Mount> {
    let hardened = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&hardened[..], more].concat();
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &with(&["mode=1777", "size=65536k"])),
        mount("/dev/mqueue", "mqueue", "mqueue", &hardened),
        mount("/sys", "sysfs", "sysfs", &with(&["ro"])),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &with(&["relatime", "ro"])),
    ]
}

/// The same for a user without privileges: their own ids mapped, nothing that needs the host's.
fn make_rootless(spec: &mut Spec) {
    let Some(linux) = &mut spec.linux else { return };
    let map = |host_id| IdMapping { container_id: 0, host_id, size: 1 };
    linux.uid_mappings = vec![map(rustix::process::geteuid().as_raw())];
    linux.gid_mappings = vec![map(rustix::process::getegid().as_raw())];
    linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
    linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: String::new() });
    linux.resources = None;
    for mount in &mut spec.mounts {
        mount.options.retain(|option| !option.starts_with("gid="));
        if mount.destination == "/sys" {
            "none".clone_into(&mut mount.fstype);
            "/sys".clone_into(&mut mount.source);
            mount.options = strings(&["rbind", "nosuid", "noexec", "nodev", "ro"]);
        }
    }
    spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
}
