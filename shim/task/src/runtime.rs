//! The two ways to reach an OCI runtime: the linked library, and any runtime's command line.
//!
//! All of it waits and is called by workers, but for what the linked library does without waiting:
//! [`release`], [`Runtime::processes`] and [`Runtime::stats`].

mod command;

use crate::container::read_config;
use crate::worker::{Failure, Made};
use base_errors::{Classify, Kind};
use base_oci::runtime::{NamespaceKind, Process, Resources, Spec};
use base_telemetry::TraceContext;
use command::Command;
use contracts_runtime_api::Stats;
use contracts_shim_api::options::{CheckpointOptions, Options};
use contracts_shim_api::types::Mount;
use runtime_container::{
    CgroupsMode, CheckpointRequest, Container, CreateOptions, CreateRequest, Created, CriuOptions,
    ExecOptions, ExecRequest, RestoreRequest, RootfsMount,
};
use rustix::fd::{AsFd, OwnedFd};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Where CRIU's log and passing files are in a bundle, for those that do not say where; there they
/// stay when it fails.
const CRIU_WORK: &str = "criu-work";

/// A container's runtime.
#[derive(Clone, Debug)]
pub(crate) enum Runtime {
    /// The library, with its state directory.
    Linked(PathBuf),
    /// A program that takes runc's command line.
    Command(Command),
}

impl Runtime {
    /// The runtime that these options ask for; `root` is its state directory.
    pub(crate) fn new(options: &Options, root: PathBuf) -> Self {
        if options.binary_name.is_empty() {
            Self::Linked(root)
        } else {
            Self::Command(Command::new(options, root))
        }
    }

    /// The same, for a request of this trace.
    pub(crate) fn traced(&self, trace: &TraceContext) -> Self {
        match self {
            Self::Linked(root) => Self::Linked(root.clone()),
            Self::Command(command) => Self::Command(command.traced(trace)),
        }
    }

    /// Whether its calls may wait.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Command(_))
    }

    pub(crate) fn create(
        &self,
        bundle: &Path,
        id: &str,
        mounts: &[Mount],
        stdio: runtime_container::Stdio,
        options: &Options,
    ) -> Result<Made, Failure> {
        let spec = config(bundle)?;
        let (waits_at_start, shares_pids) = (waits_at_start(&spec), shares_pids(&spec));
        let made = match self {
            Self::Linked(root) => {
                let mounts = mounts.iter().map(rootfs_mount).collect::<Vec<_>>();
                let options = create_options(options);
                let request = CreateRequest {
                    root,
                    id,
                    bundle,
                    spec: &spec,
                    rootfs_mounts: &mounts,
                    stdio,
                    options,
                };
                let warning = request.warning();
                Made { warning, ..made_of(linked(runtime_container::create(request))?) }
            }
            Self::Command(command) => command.create(bundle, id, mounts, stdio)?,
        };
        Ok(Made { waits_at_start, shares_pids, ..made })
    }

    /// The state directory of the linked library, where that is the runtime.
    pub(crate) fn linked_root(&self) -> Option<&Path> {
        match self {
            Self::Linked(root) => Some(root),
            Self::Command(_) => None,
        }
    }

    pub(crate) fn start(&self, id: &str) -> Result<Made, Failure> {
        match self {
            Self::Linked(root) => done(runtime_container::start(root, id)),
            Self::Command(command) => command.run(&["start", id]),
        }
    }

    /// `spec` is the OCI process document, whose `terminal` gives way to the caller's.
    pub(crate) fn exec(
        &self,
        id: &str,
        spec: &[u8],
        terminal: bool,
        stdio: runtime_container::Stdio,
    ) -> Result<Made, Failure> {
        let mut process: Process = serde_json::from_slice(spec).map_err(|error| Failure {
            kind: Kind::InvalidArgument,
            text: format!("parse the exec's process: {error}"),
        })?;
        process.terminal = terminal;
        match self {
            Self::Linked(root) => {
                let container = linked(Container::find(root, id))?;
                let options = ExecOptions::default();
                let request = ExecRequest { container, process, stdio, options };
                let warning = request.warning();
                let executed = linked(runtime_container::exec(request))?;
                Ok(Made {
                    warning,
                    pid: executed.pid,
                    pidfd: Some(executed.pidfd),
                    console: executed.console,
                    ..Made::default()
                })
            }
            Self::Command(command) => command.exec(id, &process, stdio),
        }
    }

    pub(crate) fn kill(&self, id: &str, signal: i32, all: bool) -> Result<Made, Failure> {
        match self {
            Self::Linked(root) => done(runtime_container::kill(root, id, signal, all)),
            Self::Command(command) if all => {
                command.run(&["kill", "--all", id, &signal.to_string()])
            }
            Self::Command(command) => command.run(&["kill", id, &signal.to_string()]),
        }
    }

    /// Removes the container, killing it if need be; that it is gone already is no error.
    pub(crate) fn delete(&self, bundle: &Path, id: &str) -> Result<Made, Failure> {
        let deleted = match self {
            Self::Linked(root) => {
                linked(runtime_container::delete(root, id, true)).map(|warnings| {
                    let texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
                    let warning = Some(texts.join("; ")).filter(|text| !text.is_empty());
                    Made { warning, ..Made::default() }
                })
            }
            Self::Command(command) => command.delete(bundle, id),
        };
        match deleted {
            Err(failure) if failure.kind == Kind::NotFound => Ok(Made::default()),
            other => other,
        }
    }

    pub(crate) fn pause(&self, id: &str) -> Result<Made, Failure> {
        match self {
            Self::Linked(root) => done(runtime_container::pause(root, id)),
            Self::Command(command) => command.run(&["pause", id]),
        }
    }

    pub(crate) fn resume(&self, id: &str) -> Result<Made, Failure> {
        match self {
            Self::Linked(root) => done(runtime_container::resume(root, id)),
            Self::Command(command) => command.run(&["resume", id]),
        }
    }

    /// Writes the container to a folder; it has ended and is removed then, if it is to.
    pub(crate) fn checkpoint(
        &self,
        bundle: &Path,
        id: &str,
        image: &Path,
        options: &CheckpointOptions,
    ) -> Result<Made, Failure> {
        let invalid = |text: String| Failure { kind: Kind::InvalidArgument, text };
        let other = options.empty_namespaces.iter().find(|kind| *kind != "network");
        if let Some(other) = other {
            return Err(invalid(format!("namespace {other:?} cannot be left empty")));
        }
        let cgroups = CgroupsMode::named(&options.cgroups_mode)
            .ok_or_else(|| invalid(format!("invalid cgroups mode {:?}", options.cgroups_mode)))?;
        let work = CriuWork::new(bundle, &options.work_path);
        let made = match self {
            Self::Linked(root) => {
                let spec = config(bundle)?;
                let criu = CriuOptions {
                    image: image.to_owned(),
                    work: Some(work.path.to_path_buf()),
                    tcp_established: options.open_tcp,
                    external_unix_sockets: options.external_unix_sockets,
                    shell_job: options.terminal,
                    file_locks: options.file_locks,
                    cgroups,
                    empty_network: !options.empty_namespaces.is_empty(),
                    ..CriuOptions::default()
                };
                done(runtime_container::checkpoint(&CheckpointRequest {
                    root,
                    id,
                    spec: &spec,
                    options: criu,
                    leave_running: !options.exit,
                    pre_dump: false,
                    parent: Some(options.parent_path.clone()).filter(|path| !path.is_empty()),
                    page_server: None,
                    status_fd: None,
                    link_remap: false,
                }))
            }
            Self::Command(command) => command.checkpoint(id, image, &work.path, options),
        }?;
        work.remove();
        Ok(made)
    }

    /// Makes a container of a folder that [`Self::checkpoint`] wrote; it runs.
    pub(crate) fn restore(
        &self,
        bundle: &Path,
        id: &str,
        mounts: &[Mount],
        stdio: runtime_container::Stdio,
        image: &Path,
        options: &Options,
    ) -> Result<Made, Failure> {
        let spec = config(bundle)?;
        let work = CriuWork::new(bundle, &options.criu_work_path);
        let made = match self {
            Self::Linked(root) => {
                let mounts = mounts.iter().map(rootfs_mount).collect::<Vec<_>>();
                let created = linked(runtime_container::restore(RestoreRequest {
                    root,
                    id,
                    bundle,
                    spec: &spec,
                    rootfs_mounts: &mounts,
                    criu: CriuOptions {
                        image: image.to_owned(),
                        work: Some(work.path.to_path_buf()),
                        ..CriuOptions::default()
                    },
                    stdio,
                    options: create_options(options),
                }))?;
                made_of(created)
            }
            Self::Command(command) => {
                command.restore(bundle, id, mounts, stdio, image, &work.path)?
            }
        };
        work.remove();
        Ok(Made { shares_pids: shares_pids(&spec), ..made })
    }

    pub(crate) fn update(&self, id: &str, resources: &Resources) -> Result<Made, Failure> {
        match self {
            Self::Linked(root) => done(runtime_container::update(root, id, resources)),
            Self::Command(command) => command.update(id, resources),
        }
    }

    pub(crate) fn processes(&self, id: &str) -> Result<Vec<i32>, Failure> {
        match self {
            Self::Linked(root) => linked(runtime_container::processes(root, id)),
            Self::Command(command) => command.json(&["ps", "--format", "json", id]),
        }
    }

    pub(crate) fn stats(&self, id: &str) -> Result<Stats, Failure> {
        match self {
            Self::Linked(root) => linked(runtime_container::stats(root, id)),
            Self::Command(command) => command.stats(id),
        }
    }
}

/// The folder that CRIU works in.
struct CriuWork<'a> {
    path: Cow<'a, Path>,
}

impl<'a> CriuWork<'a> {
    /// The one that was asked for, or one in the bundle.
    fn new(bundle: &Path, wanted: &'a str) -> Self {
        let path = match wanted {
            "" => Cow::Owned(bundle.join(CRIU_WORK)),
            wanted => Cow::Borrowed(Path::new(wanted)),
        };
        Self { path }
    }

    /// All went well: nobody needs what is in one that nobody has asked for.
    fn remove(self) {
        if let Cow::Owned(path) = self.path {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

fn config(bundle: &Path) -> Result<Spec, Failure> {
    read_config(bundle).map_err(|error| Failure::from_io("read config.json", &error))
}

fn create_options(options: &Options) -> CreateOptions {
    CreateOptions {
        no_pivot: options.no_pivot_root,
        systemd_cgroup: options.systemd_cgroup,
        no_new_keyring: options.no_new_keyring,
        ..CreateOptions::default()
    }
}

fn made_of(created: Created) -> Made {
    Made {
        pid: created.pid,
        pidfd: Some(created.pidfd),
        console: created.console,
        namespaces: created.namespaces,
        ..Made::default()
    }
}

/// Lets an init go on that nothing else waits for; the socket is ready for [`start_result`] when that is
/// known.
pub(crate) fn release(root: &Path, id: &str) -> Result<OwnedFd, Failure> {
    linked(runtime_container::release(root, id))
}

/// What became of such an init.
pub(crate) fn start_result(socket: impl AsFd) -> Result<Made, Failure> {
    done(runtime_container::start_result(socket))
}

fn linked<T>(result: Result<T, runtime_container::Error>) -> Result<T, Failure> {
    result.map_err(|error| Failure { kind: error.kind(), text: error.message() })
}

fn done(result: Result<(), runtime_container::Error>) -> Result<Made, Failure> {
    linked(result).map(|()| Made::default())
}

fn rootfs_mount(mount: &Mount) -> RootfsMount {
    RootfsMount {
        fstype: mount.fstype.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        options: mount.options.clone(),
    }
}

/// Whether its start is more than letting init go on: hooks, or a listener that is to get the
/// descriptor of init's seccomp filter.
fn waits_at_start(spec: &Spec) -> bool {
    let hooks = spec.hooks.as_ref();
    let seccomp = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    hooks.is_some_and(|hooks| !hooks.start_container.is_empty() || !hooks.poststart.is_empty())
        || seccomp.is_some_and(|seccomp| !seccomp.listener_path.is_empty())
}

/// Whether the container has no new pid namespace.
fn shares_pids(spec: &Spec) -> bool {
    let namespaces = spec.linux.as_ref().map(|linux| linux.namespaces.as_slice());
    !namespaces
        .unwrap_or_default()
        .iter()
        .any(|namespace| namespace.kind == NamespaceKind::Pid && namespace.path.is_empty())
}
