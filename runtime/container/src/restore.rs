//! `restore`: files become a running container.

use crate::checkpoint::{DESCRIPTORS, external_namespaces};
use crate::confinement::profile;
use crate::create::{self, Prepared};
use crate::criu::{Answer, Criu, CriuOptions, Inherited, Kind, Launch, Message, external_mounts};
use crate::error::{Error, refused};
use crate::launch::{limit_cgroup, run_parent_hooks, write_pid_file};
use crate::lifecycle::{SIGKILL, kill_all};
use crate::namespaces::keep_alive;
use crate::request::{CreateOptions, CreateRequest, Created, RootfsMount, Stdio};
use crate::sockets;
use crate::store::{Folder, process_stat};
use base_faults::{Step, reach, step};
use base_oci::runtime::{NamespaceKind, Spec};
use contracts_runtime_api::Status;
use kernel_paths::Root;
use kernel_sys::signals;
use runtime_cgroups::Hierarchy;
use runtime_confine::seccomp;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
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
    /// Mounts of which the root file system is made, as for [`create`](crate::create).
    pub rootfs_mounts: &'a [RootfsMount],
    /// How, and from which image.
    pub criu: CriuOptions,
    /// What takes the place of the pipes that were its stdin, stdout and stderr. A terminal that it
    /// had is restored, whatever this says.
    pub stdio: Stdio,
    /// Where pid and terminal go.
    pub options: CreateOptions,
}

const LOG: &str = "restore.log";

const FOLDER_MADE: &Step = step("runtime.restore.folder-made");
const RECORD_WRITTEN: &Step = step("runtime.restore.record-written");
const CRIU_STARTED: &Step = step("runtime.restore.criu-started");
const CGROUP_MADE: &Step = step("runtime.restore.cgroup-made");
const INIT_RECORDED: &Step = step("runtime.restore.init-recorded");
const RESTORED: &Step = step("runtime.restore.restored");
const ANSWERED: &Step = step("runtime.restore.answered");
const PID_FILE_WRITTEN: &Step = step("runtime.restore.pid-file-written");

/// Makes a container that runs at once.
pub(crate) fn restore(request: RestoreRequest<'_>) -> Result<Created, Error> {
    let RestoreRequest { root, id, bundle, spec, rootfs_mounts, criu, stdio, options } = request;
    let create =
        CreateRequest { root, id, bundle, spec, rootfs_mounts, stdio: Stdio::Inherit, options };
    let (folder, creating) = Folder::create(root, id)?;
    reach(FOLDER_MADE);
    let made = create::prepare(&create).and_then(|prepared| {
        let mut restoring = Restoring { request: create, options: criu, folder: &folder, prepared };
        restoring
            .bring_back(stdio, &creating)
            .map_err(|error| create::undo(error, &folder, &restoring.prepared))
    });
    if made.is_err() {
        let _ = folder.remove();
    }
    made
}

/// A container on its way back.
struct Restoring<'a> {
    request: CreateRequest<'a>,
    options: CriuOptions,
    folder: &'a Folder,
    prepared: Prepared<'a>,
}

impl Restoring<'_> {
    fn bring_back(&mut self, stdio: Stdio, creating: &OwnedFd) -> Result<Created, Error> {
        if self.prepared.resctrl.is_some() || !self.prepared.linux.net_devices.is_empty() {
            return Err(Error::Unimplemented("restoring with intelRdt or network devices"));
        }
        if let Some(profile) = profile(&self.prepared.linux) {
            self.folder.write_filter(&seccomp::compile(profile)?.to_bytes())?;
        }
        let record = &mut self.prepared.record;
        (record.is_restored, record.is_being_restored) = (true, true);
        // Before anything is made elsewhere: whoever finds the folder after this process was killed
        // can tell from the record what to remove.
        self.folder.write(record)?;
        reach(RECORD_WRITTEN);
        self.options.make_work_folder()?;
        let folders = self.options.folders()?;
        let namespaces = open_namespaces(self.request.spec)?;
        let external = external_mounts(
            self.request.spec,
            &self.prepared.record.bundle,
            &self.prepared.cgroup.record(),
        );
        let message = self.message(&folders, &namespaces, &external)?;
        // CRIU has the folder's lock, too: while it lives nobody removes what it is making.
        let others: Vec<BorrowedFd<'_>> =
            namespaces.iter().map(|(_, open)| open.as_fd()).chain([creating.as_fd()]).collect();
        let plan = &self.prepared.plan;
        let criu = Criu::start(Launch { folders, others: &others, stdio }, || {
            make_mount_points(&plan.mount_root()?, &external)
        })?;
        reach(CRIU_STARTED);
        let asked = self.ask(&criu, message);
        drop(criu);
        reach(ANSWERED);
        let made = asked.and_then(|console| self.hand_out(console));
        if made.is_err() {
            self.end();
        }
        made
    }

    /// What CRIU is asked for, but for the cgroups.
    fn message(
        &self,
        folders: &[Inherited; 2],
        namespaces: &[(&'static str, OwnedFd)],
        external: &[(String, PathBuf)],
    ) -> Result<Message, Error> {
        let spec = self.request.spec;
        let mut message = self.options.message(folders, spec, LOG);
        message.text(13, &self.prepared.record.rootfs.to_string_lossy()).flag(26, true);
        for (destination, source) in external {
            message.text(37, &format!("mnt[{destination}]:{}", source.display()));
        }
        for (name, namespace) in namespaces {
            message.message(27, &inherited(name, namespace.as_raw_fd()));
        }
        for (number, name) in (0..).zip(read_descriptors(&self.options.image)?) {
            if name.contains("pipe:") {
                message.message(27, &inherited(&name, number));
            }
        }
        for (kind, path) in joined(spec)? {
            let mut join = Message::default();
            join.text(1, kind).text(2, path);
            message.message(39, &join);
        }
        Ok(message)
    }

    /// Puts CRIU into the container's cgroup, so that nothing that it makes is ever outside, and has
    /// it do its work; the terminal's master, if there is one.
    fn ask(&mut self, criu: &Criu, mut message: Message) -> Result<Option<OwnedFd>, Error> {
        let prepared = &mut self.prepared;
        prepared.cgroup_is_new = prepared.cgroup.create(Some(criu.pid))?;
        limit_cgroup(&*prepared.cgroup, prepared)?;
        prepared.cgroup.attach(criu.pid)?;
        reach(CGROUP_MADE);
        for hierarchy in prepared.cgroup.record().hierarchies {
            add_cgroup_root(&mut message, &hierarchy)?;
        }
        let mut console = None;
        let answer = criu.ask(Kind::Restore, &message, |step, descriptors| {
            match step.step.as_str() {
                "setup-namespaces" => {
                    criu.watch(Some(open_init(step.step_pid)?));
                    self.init_exists(step)?;
                }
                // From here on it may run, and end.
                "pre-resume" => criu.watch(None),
                "orphan-pts-master" => console = descriptors.into_iter().next(),
                "post-restore" => self.init_is_restored(step)?,
                _ => {}
            }
            Ok(())
        })?;
        if answer.is_success && !self.prepared.record.is_being_restored {
            return Ok(console);
        }
        Err(self.options.failure(&answer, LOG))
    }

    /// There is an init, in new namespaces.
    fn init_exists(&mut self, step: &Answer) -> Result<(), Error> {
        self.record_init(step.step_pid)?;
        reach(INIT_RECORDED);
        let state = self.folder.state_as(&self.prepared.record, Status::Creating);
        run_parent_hooks(&self.request.spec.hooks.clone().unwrap_or_default(), &state)
    }

    /// Everything is there; nothing of the container's runs before this is answered.
    fn init_is_restored(&mut self, step: &Answer) -> Result<(), Error> {
        self.prepared.record.is_being_restored = false;
        self.record_init(step.step_pid)?;
        reach(RESTORED);
        Ok(())
    }

    fn record_init(&mut self, pid: i32) -> Result<(), Error> {
        let record = &mut self.prepared.record;
        record.pid = pid;
        record.start_time = process_stat(pid).map_or(0, |stat| stat.start_time);
        self.folder.write(record)
    }

    /// Ends what CRIU made; it does that itself, unless it was killed.
    fn end(&self) {
        let record = &self.prepared.record;
        if self.prepared.cgroup_is_new {
            let _ = kill_all(record, SIGKILL);
        }
        if let Some(init) = Pid::from_raw(record.pid)
            && let Ok(pidfd) = pidfd_open(init, PidfdFlags::empty())
            && record.is_alive()
        {
            let _ = signals::send(pidfd.as_fd(), SIGKILL);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }

    /// Hands out what the caller wanted.
    fn hand_out(&self, console: Option<OwnedFd>) -> Result<Created, Error> {
        let (pid, options) = (self.prepared.record.pid, &self.request.options);
        let pidfd = open_init(pid)?;
        let console = sockets::hand_over_console(console, options.console_socket.as_deref())?;
        if let Some(path) = &options.pid_file {
            write_pid_file(path, pid)?;
            reach(PID_FILE_WRITTEN);
        }
        let namespaces = keep_alive(pidfd.as_fd(), self.prepared.namespaces.own_flags());
        Ok(Created { pid, pidfd, console, namespaces })
    }
}

fn open_init(pid: i32) -> Result<OwnedFd, Error> {
    let init = Pid::from_raw(pid).ok_or(Error::NotRunning)?;
    pidfd_open(init, PidfdFlags::empty()).map_err(refused("open the container's init"))
}

/// Makes what mounts of something outside are put on, where the root file system does not have it.
fn make_mount_points(root: &Root, external: &[(String, PathBuf)]) -> Result<(), Error> {
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
