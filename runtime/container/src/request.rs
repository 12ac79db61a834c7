//! What the callers of [`create`](crate::create) and [`exec`](crate::exec) say and get.

use crate::exec::Container;
use base_oci::runtime::{ConsoleSize, NamespaceKind, Process, Resources, Spec};
use runtime_cgroups::Below;
use runtime_confine::{capabilities, labels};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A container to be made.
#[derive(Debug)]
pub struct CreateRequest<'a> {
    /// Folder of all containers' state.
    pub root: &'a Path,
    /// The container's id.
    pub id: &'a str,
    /// The bundle: what relative paths of the configuration start from.
    pub bundle: &'a Path,
    /// The configuration.
    pub spec: &'a Spec,
    /// Mounts of which the root file system is made, inside the container's mount namespace only;
    /// when empty, `spec.root.path` is used as it is.
    pub rootfs_mounts: &'a [RootfsMount],
    /// What becomes of stdin, stdout and stderr.
    pub stdio: Stdio,
    /// Everything else.
    pub options: CreateOptions,
}

/// A mount of the root file system, as containerd's snapshotters describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootfsMount {
    /// `overlay`, `bind` and so on.
    pub fstype: String,
    /// Source; a folder for `bind`.
    pub source: String,
    /// Where below the root file system; empty for the root itself.
    pub target: String,
    /// Options as mount(8) writes them.
    pub options: Vec<String>,
}

/// What becomes of stdin, stdout and stderr.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's own.
    #[default]
    Inherit,
    /// These.
    Descriptors {
        /// Becomes descriptor 0.
        stdin: OwnedFd,
        /// Becomes descriptor 1.
        stdout: OwnedFd,
        /// Becomes descriptor 2.
        stderr: OwnedFd,
    },
    /// A pseudo-terminal of the container's devpts, whose master is handed back.
    Terminal,
}

/// Lesser choices of a creation.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// File to write init's pid to.
    pub pid_file: Option<PathBuf>,
    /// Move the root mount and chroot instead of pivot_root (initramfs hosts).
    pub no_pivot: bool,
    /// Have systemd make the cgroup: a scope, of which `cgroupsPath` is `slice:prefix:name`.
    pub systemd_cgroup: bool,
    /// Make no cgroup at all; nothing can be limited then.
    pub no_cgroup: bool,
    /// Do without a cgroup, or without that of some controllers, where the caller may not make it
    /// and nothing is limited.
    pub rootless: bool,
    /// Stay in the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// Unix socket that receives the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// Unix socket that receives the process.
    pub pidfd_socket: Option<PathBuf>,
}

impl CreateOptions {
    /// Whether somebody gets something of the container's before its program runs.
    pub(crate) fn hand_out(&self) -> bool {
        self.pid_file.is_some() || self.console_socket.is_some() || self.pidfd_socket.is_some()
    }
}

/// A container that was made: it waits for [`start`](crate::start), or [runs](crate::run).
#[derive(Debug)]
pub struct Created {
    /// Its init, as the caller numbers it.
    pub pid: i32,
    /// Its init.
    pub pidfd: OwnedFd,
    /// The terminal's master, for [`Stdio::Terminal`] without a console socket.
    pub console: Option<OwnedFd>,
    /// The container's namespaces. Who keeps them open keeps their teardown out of init's exit;
    /// close them when nobody waits.
    pub namespaces: Vec<OwnedFd>,
}

impl CreateRequest<'_> {
    /// What of the request cannot be done and will be left out, for a log.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let mut namespaces = self.spec.linux.iter().flat_map(|linux| &linux.namespaces);
        let has_user_namespace = namespaces.any(|namespace| namespace.kind == NamespaceKind::User);
        let memory = self.spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
        let memory = memory.and_then(memory_warning).map(str::to_owned);
        let process = self.spec.process.as_ref();
        let process = process.and_then(|process| warning(process, has_user_namespace));
        joined(process.into_iter().chain(memory))
    }
}

/// What of these limits cannot be set and will be left out, for a log.
#[must_use]
pub fn memory_warning(resources: &Resources) -> Option<&'static str> {
    let memory = resources.memory.as_ref()?;
    let is_asked_for = memory.kernel.is_some() || memory.kernel_tcp.is_some();
    is_asked_for.then_some("Kernel memory settings are ignored and will be removed")
}

impl ExecRequest {
    /// What of the request cannot be done and will be left out, for a log.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        warning(&self.process, self.container.has_user_namespace())
    }
}

/// The specification wants a warning of capabilities that cannot be granted (config.md, "Linux
/// Process"), in runc's words. Who asks for a label wants to know that there is none.
fn warning(process: &Process, has_user_namespace: bool) -> Option<String> {
    let sets = process.capabilities.as_ref();
    let names = sets.and_then(|sets| capabilities::ungranted(sets, has_user_namespace).ok());
    let names = names.filter(|names| !names.is_empty()).map(|names| names.join(" "));
    let names =
        names.map(|names| format!("ignoring unknown or unavailable capabilities: [{names}]"));
    let label = labels::without_effect(&process.apparmor_profile, &process.selinux_label);
    let label = label.map(|what| format!("ignoring {what}: the kernel has no such module"));
    joined(names.into_iter().chain(label))
}

fn joined(warnings: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<String> = warnings.collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// A process to be run in a container.
#[derive(Debug)]
pub struct ExecRequest {
    /// The container.
    pub container: Container,
    /// The process.
    pub process: Process,
    /// What becomes of stdin, stdout and stderr.
    pub stdio: Stdio,
    /// Everything else.
    pub options: ExecOptions,
}

/// Lesser choices of an exec.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// File to write the pid to.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// Unix socket that receives the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// Unix socket that receives the process.
    pub pidfd_socket: Option<PathBuf>,
    /// Which group below the container's cgroup it goes to.
    pub cgroup: Below,
    /// Join even a paused container's cgroup (the process then waits frozen).
    pub ignore_paused: bool,
}

/// A process that runs in a container; the caller (or the subreaper above it) reaps it.
#[derive(Debug)]
pub struct Executed {
    /// The process, as the caller numbers it.
    pub pid: i32,
    /// The process.
    pub pidfd: OwnedFd,
    /// The terminal's master, for [`Stdio::Terminal`] without a console socket.
    pub console: Option<OwnedFd>,
}

/// A terminal's rows and columns as the kernel counts them.
pub(crate) fn window(size: &ConsoleSize) -> (u16, u16) {
    let cells = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    (cells(size.height), cells(size.width))
}
