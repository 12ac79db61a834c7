//! `restore`: files become a running container.

use crate::checkpoint::{DESCRIPTORS, external_namespaces};
use crate::confinement::profile;
use crate::create::{self, Prepared};
use crate::criu::{Criu, CriuOptions, Kind, Message, external_mounts};
use crate::error::{Error, refused};
use crate::launch::{limit_cgroup, run_parent_hooks, write_pid_file};
use crate::namespaces::keep_alive;
use crate::request::{CreateOptions, CreateRequest, Created, Stdio};
use crate::sockets;
use crate::store::{Folder, process_stat};
use base_oci::runtime::{NamespaceKind, Spec};
use contracts_runtime_api::Status;
use kernel_paths::Root;
use kernel_sys::signals;
use runtime_cgroups::Hierarchy;
use runtime_confine::seccomp;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A container to be made of its image.
#[derive(Debug)]
pub struct RestoreRequest<'a> {
    /// Folder of all containers' state.
    pub root: &'a Path,
    /// The container's id.
    pub id: &'a str,
    /// The bundle.
    pub bundle: &'a Path,
    /// Its configuration.
    pub spec: &'a Spec,
    /// How, and from which image.
    pub criu: CriuOptions,
    /// Where pid and terminal go.
    pub options: CreateOptions,
}

const LOG: &str = "restore.log";

/// Makes a container that runs at once.
pub(crate) fn restore(request: RestoreRequest<'_>) -> Result<Created, Error> {
    let RestoreRequest { root, id, bundle, spec, criu, options } = request;
    let stdio = Stdio::Inherit;
    let create = CreateRequest { root, id, bundle, spec, rootfs_mounts: &[], stdio, options };
    let (folder, _creating) = Folder::create(root, id)?;
    let made = create::prepare(&create).and_then(|mut prepared| {
        bring_back(&create, &criu, &folder, &mut prepared)
            .map_err(|error| create::undo(error, &folder, &prepared))
    });
    if made.is_err() {
        let _ = folder.remove();
    }
    made
}

fn bring_back(
    request: &CreateRequest<'_>,
    options: &CriuOptions,
    folder: &Folder,
    prepared: &mut Prepared<'_>,
) -> Result<Created, Error> {
    if prepared.cgroup.needs_process() {
        return Err(Error::Unimplemented("restoring into a cgroup of systemd's"));
    }
    if prepared.resctrl.is_some() || !prepared.linux.net_devices.is_empty() {
        return Err(Error::Unimplemented("restoring with intelRdt or network devices"));
    }
    if let Some(profile) = profile(&prepared.linux) {
        folder.write_filter(&seccomp::compile(profile)?.to_bytes())?;
    }
    prepared.record.is_restored = true;
    folder.write(&prepared.record)?;
    prepared.cgroup_is_new = prepared.cgroup.create(None)?;
    limit_cgroup(&*prepared.cgroup, prepared)?;
    let rootfs = prepared.record.rootfs.clone();
    let external =
        external_mounts(request.spec, &prepared.record.bundle, &prepared.cgroup.record());
    make_mount_points(&rootfs, &external)?;

    let folders = options.folders()?;
    let namespaces = open_namespaces(request.spec)?;
    let mut message = options.message(&folders, request.spec, LOG);
    message.text(13, &rootfs.to_string_lossy()).flag(26, true);
    for (destination, source) in &external {
        message.text(37, &format!("mnt[{destination}]:{}", source.display()));
    }
    for (name, namespace) in &namespaces {
        message.message(27, &inherited(name, namespace.as_raw_fd()));
    }
    for (number, name) in (0..).zip(read_descriptors(&options.image)?) {
        if name.contains("pipe:") {
            message.message(27, &inherited(&name, number));
        }
    }
    for (kind, path) in joined(request.spec)? {
        let mut join = Message::default();
        join.text(1, kind).text(2, path);
        message.message(39, &join);
    }
    for hierarchy in prepared.cgroup.record().hierarchies {
        add_cgroup_root(&mut message, &hierarchy)?;
    }

    let open: Vec<&OwnedFd> = namespaces.iter().map(|(_, namespace)| namespace).collect();
    let criu = Criu::start(&rootfs, folders, &open)?;
    let (mut pid, mut console) = (0, None);
    let asked = criu.ask(Kind::Restore, &message, |step, descriptors| match step.step.as_str() {
        "setup-namespaces" => {
            let mut state = folder.state(&prepared.record);
            (state.status, state.pid) = (Status::Creating, step.step_pid);
            run_parent_hooks(&request.spec.hooks.clone().unwrap_or_default(), &state)
        }
        "orphan-pts-master" => {
            console = descriptors.into_iter().next();
            Ok(())
        }
        // Nothing of the container's runs before this is answered.
        "post-restore" => {
            pid = step.step_pid;
            prepared.record.pid = pid;
            prepared.record.start_time = process_stat(pid).map_or(0, |stat| stat.start_time);
            folder.write(&prepared.record)
        }
        _ => Ok(()),
    });
    drop(criu);
    let made = asked.and_then(|answer| {
        if !answer.is_success || pid == 0 {
            return Err(options.failure(&answer, LOG));
        }
        hand_out(pid, console, &request.options, prepared)
    });
    if made.is_err()
        && let Some(init) = Pid::from_raw(pid)
        && let Ok(pidfd) = pidfd_open(init, PidfdFlags::empty())
    {
        let _ = signals::send(pidfd.as_fd(), 9);
        let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    }
    made
}

/// Hands out what the caller wanted.
fn hand_out(
    pid: i32,
    console: Option<OwnedFd>,
    options: &CreateOptions,
    prepared: &Prepared<'_>,
) -> Result<Created, Error> {
    let init = Pid::from_raw(pid).ok_or(Error::NotRunning)?;
    let pidfd =
        pidfd_open(init, PidfdFlags::empty()).map_err(refused("open the container's init"))?;
    let console = sockets::hand_over_console(console, options.console_socket.as_deref())?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, pid)?;
    }
    let namespaces = keep_alive(pidfd.as_fd(), prepared.namespaces.own_flags());
    Ok(Created { pid, pidfd, console, namespaces })
}

/// Makes what mounts of something outside are put on, where the bundle does not have it.
fn make_mount_points(rootfs: &Path, external: &[(String, PathBuf)]) -> Result<(), Error> {
    let root = Root::open_trusted(rootfs)?;
    for (destination, source) in external {
        if source.is_dir() {
            root.create_directory(Path::new(destination))?;
        } else {
            root.create_file(Path::new(destination))?;
        }
    }
    Ok(())
}

/// A descriptor that CRIU finds open, in the place of what is known by this name.
fn inherited(name: &str, number: i32) -> Message {
    let mut message = Message::default();
    message.text(1, name).number(2, number);
    message
}

fn open_namespaces(spec: &Spec) -> Result<Vec<(&'static str, OwnedFd)>, Error> {
    external_namespaces(spec)
        .map(|(_, name, path)| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty())
                .map(|opened| (name, opened))
                .map_err(refused(format!("open namespace {path}")))
        })
        .collect()
}

/// The other namespaces that the configuration names, which CRIU joins by their paths.
fn joined(spec: &Spec) -> Result<Vec<(&'static str, &str)>, Error> {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    let by_path = namespaces.filter(|namespace| !namespace.path.is_empty());
    by_path
        .filter_map(|namespace| {
            let kind = match namespace.kind {
                NamespaceKind::Network | NamespaceKind::Pid => return None,
                NamespaceKind::Mount => "mnt",
                NamespaceKind::Uts => "uts",
                NamespaceKind::Ipc => "ipc",
                NamespaceKind::User => "user",
                NamespaceKind::Cgroup | NamespaceKind::Time => {
                    return Some(Err(Error::Unimplemented(
                        "restoring into a cgroup or time namespace by path",
                    )));
                }
            };
            Some(Ok((kind, namespace.path.as_str())))
        })
        .collect()
}

/// Puts what was in the container's cgroup into that of the new one.
fn add_cgroup_root(message: &mut Message, hierarchy: &Hierarchy) -> Result<(), Error> {
    let path = below_mount(&hierarchy.path).map_err(|source| Error::State {
        step: "look at",
        path: hierarchy.path.clone(),
        source,
    })?;
    // cgroup v2 has none to be named.
    let names = hierarchy.controllers.split(',').filter(|name| !name.is_empty());
    let names: Vec<Option<&str>> = match names.map(Some).collect::<Vec<_>>() {
        none if none.is_empty() => vec![None],
        some => some,
    };
    for name in names {
        let mut root = Message::default();
        root.optional(1, name).text(2, &path.to_string_lossy());
        message.message(25, &root);
    }
    Ok(())
}

/// A cgroup's path as the kernel names it: from the root of its hierarchy.
fn below_mount(folder: &Path) -> std::io::Result<PathBuf> {
    let device = folder.metadata()?.dev();
    let mut top = folder;
    while let Some(parent) = top.parent() {
        if parent.metadata()?.dev() != device {
            break;
        }
        top = parent;
    }
    Ok(Path::new("/").join(folder.strip_prefix(top).unwrap_or(folder)))
}

/// What stdin, stdout and stderr were.
fn read_descriptors(image: &Path) -> Result<Vec<String>, Error> {
    let path = image.join(DESCRIPTORS);
    let read = std::fs::read(&path)
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(std::io::Error::other));
    read.map_err(|source| Error::State { step: "read", path, source })
}
