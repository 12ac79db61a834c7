//! `create`: from a configuration to a container that waits to be started.

use crate::confinement::Confinement;
use crate::error::{Error, refused};
use crate::handshake::{self, ParentEnd, Progress, Report};
use crate::init::{Init, needs_parent};
use crate::namespaces::{Namespaces, keep_alive, write_maps};
use crate::request::{CreateRequest, Created, Stdio};
use crate::store::{Folder, ProcessDefaults, Record, process_stat};
use crate::{console, hooks, seal};
use base_oci::runtime::{Hooks, Linux, NamespaceKind, Resources};
use contracts_runtime_api::{State, Status};
use kernel_sys::{Cloned, clone3, signals};
use runtime_cgroups::Cgroup;
use runtime_confine::sysctls;
use runtime_rootfs::{BaseMount, CgroupMount, CgroupMounts, Plan};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::borrow::Cow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Everything that was read from the request.
struct Prepared<'a> {
    linux: Cow<'a, Linux>,
    namespaces: Namespaces,
    confinement: Confinement,
    cgroup: Box<dyn Cgroup>,
    plan: Plan,
    record: Record,
}

/// Makes a container.
pub(crate) fn create(request: CreateRequest<'_>) -> Result<Created, Error> {
    let folder = Folder::create(request.root, request.id)?;
    let made = prepare(&request).and_then(|mut prepared| {
        launch(request, &folder, &mut prepared).map_err(|error| {
            // What is left of it ends with its cgroup.
            match prepared.cgroup.remove() {
                Ok(()) => error,
                Err(cleanup) => {
                    Error::Cleanup { error: Box::new(error), cleanup: Box::new(cleanup.into()) }
                }
            }
        })
    });
    if made.is_err() {
        let _ = folder.remove();
    }
    made
}

/// Reads and checks everything, so that what can be wrong with a configuration is told before
/// anything is made.
fn prepare<'a>(request: &CreateRequest<'a>) -> Result<Prepared<'a>, Error> {
    let spec = request.spec;
    let process = spec
        .process
        .as_ref()
        .ok_or_else(|| Error::Configuration("process property must not be empty".to_owned()))?;
    let linux = spec.linux.as_ref().map_or_else(Cow::default, Cow::Borrowed);
    refuse_unimplemented(&linux)?;
    let namespaces = Namespaces::open(&linux)?;
    check_names(spec, &namespaces)?;
    sysctls::check(&linux.sysctl, &namespaces.own())?;
    let bundle = std::path::absolute(request.bundle).map_err(|source| Error::State {
        step: "resolve",
        path: request.bundle.to_owned(),
        source,
    })?;
    let confinement = Confinement::new(
        process,
        linux.seccomp.as_ref(),
        linux.memory_policy.as_ref(),
        linux.personality.as_ref(),
        request.options.preserve_fds,
    )?;
    let cgroup = runtime_cgroups::locate(&linux.cgroups_path, request.id)?;
    let cgroup_record = cgroup.record();
    let mount = |h: &runtime_cgroups::Hierarchy| CgroupMount {
        name: h.name.clone(),
        controllers: h.controllers.clone(),
        path: h.path.clone(),
    };
    let plan = Plan::new(runtime_rootfs::Request {
        spec,
        bundle: &bundle,
        base: request.rootfs_mounts.iter().map(base_mount).collect(),
        cgroups: CgroupMounts {
            hierarchies: cgroup_record
                .hierarchies
                .iter()
                // A hybrid host's cgroup v2 tree is not shown, as under runc.
                .filter(|h| cgroup_record.unified || !h.controllers.is_empty())
                .map(mount)
                .collect(),
            unified: cgroup_record.unified,
            private: namespaces.makes(NamespaceKind::Cgroup),
        },
    })?;
    let root = spec.root.as_ref().map_or("rootfs", |root| root.path.as_str());
    let hooks = spec.hooks.clone().unwrap_or_default();
    let mut record = Record {
        id: request.id.to_owned(),
        oci_version: spec.oci_version.clone(),
        rootfs: bundle.join(root),
        bundle,
        created: now(),
        annotations: spec.annotations.clone(),
        namespaces: namespaces.own_flags().bits(),
        shares_pids: !namespaces.makes(NamespaceKind::Pid),
        process: ProcessDefaults::of(process),
        poststart: hooks.poststart,
        poststop: hooks.poststop,
        ..Record::default()
    };
    record.set_cgroup(cgroup_record);
    Ok(Prepared { linux, namespaces, confinement, cgroup, plan, record })
}

fn base_mount(mount: &crate::request::RootfsMount) -> BaseMount {
    BaseMount {
        fstype: mount.fstype.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        options: mount.options.clone(),
    }
}

fn refuse_unimplemented(linux: &Linux) -> Result<(), Error> {
    if linux.intel_rdt.is_some() {
        return Err(Error::Unimplemented("Intel RDT"));
    }
    if !linux.net_devices.is_empty() {
        return Err(Error::Unimplemented("network devices"));
    }
    Ok(())
}

fn check_names(spec: &base_oci::runtime::Spec, namespaces: &Namespaces) -> Result<(), Error> {
    let has_uts = namespaces.own().contains(&NamespaceKind::Uts);
    let wants_names = !spec.hostname.is_empty() || !spec.domainname.is_empty();
    if wants_names && !has_uts {
        let text = "unable to set hostname without a private UTS namespace";
        return Err(Error::Configuration(text.to_owned()));
    }
    Ok(())
}

/// Clones the first process and sees it through to where it waits to be started.
fn launch(
    request: CreateRequest<'_>,
    folder: &Folder,
    prepared: &mut Prepared<'_>,
) -> Result<Created, Error> {
    let CreateRequest { spec, id, stdio, options, .. } = request;
    if let Some(filter) = prepared.confinement.filter() {
        folder.write_filter(filter)?;
    }
    // Before anything is made elsewhere: whoever finds the folder after this process was killed
    // can tell from the record what to remove.
    folder.write(&prepared.record)?;
    let wants_terminal = matches!(stdio, Stdio::Terminal);
    let listener = listen_for_start(folder)?;
    // On cgroup v2 the clone is born in its cgroup, so that has to exist before.
    let born_in = if prepared.record.cgroup_unified {
        make_cgroup(&*prepared.cgroup, &prepared.linux)?;
        prepared.cgroup.clone_target()
    } else {
        None
    };
    let mut state = folder.state(&prepared.record);
    state.status = Status::Creating;
    let (parent_end, child_end) = handshake::pair()?;
    let back = prepared.namespaces.join_in_parent()?;
    let flags = prepared.namespaces.clone_flags();
    let cloned = clone3(flags, born_in.as_ref().map(AsFd::as_fd));
    let (pid, pidfd) = match cloned {
        Ok(Cloned::Child) => {
            drop(parent_end);
            let init = Init {
                id,
                spec,
                linux: &prepared.linux,
                options: &options,
                namespaces: &prepared.namespaces,
                plan: &prepared.plan,
                rootfs: prepared.record.rootfs.clone(),
                confinement: &prepared.confinement,
                state: &state,
                listener: &listener,
                has_cgroup_namespace: prepared.namespaces.makes(NamespaceKind::Cgroup),
            };
            init.run(child_end, stdio)
        }
        Ok(Cloned::Parent { pid, pidfd }) => (pid, pidfd),
        Err(errno) => {
            back.back()?;
            return Err(refused("clone the container's first process")(errno));
        }
    };
    drop(child_end);
    // The child has its own copies: held here, too, a listener would never refuse, and a pipe
    // never end.
    drop((listener, stdio));
    back.back()?;
    state.pid = pid;
    let guided = guide(&parent_end, pid, born_in.is_some(), folder, prepared, spec, &mut state)
        .and_then(|console| {
            let own = prepared.namespaces.own_flags();
            finish(pid, pidfd.as_fd(), console, own, &options, wants_terminal)
        });
    match guided {
        Ok((console, namespaces)) => Ok(Created { pid, pidfd, console, namespaces }),
        Err(error) => {
            // Reaped here: the caller does not know of it.
            let _ = signals::send(pidfd.as_fd(), 9);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(error)
        }
    }
}

/// The parent's half of the hand-shake; the terminal's master, if the child opened one.
fn guide(
    child: &ParentEnd,
    pid: i32,
    in_cgroup: bool,
    folder: &Folder,
    prepared: &mut Prepared<'_>,
    spec: &base_oci::runtime::Spec,
    state: &mut State,
) -> Result<Option<OwnedFd>, Error> {
    if prepared.namespaces.makes(NamespaceKind::User) {
        write_maps(pid, &prepared.linux)?;
    }
    child.tell(Progress::Mapped);
    if !in_cgroup {
        prepared.cgroup.create()?;
        child.tell(Progress::CgroupsMade);
        limit_cgroup(&*prepared.cgroup, &prepared.linux)?;
        prepared.cgroup.attach(pid)?;
    }
    child.tell(Progress::Attached);
    prepared.record.pid = pid;
    prepared.record.start_time = process_stat(pid).map_or(0, |stat| stat.start_time);
    folder.write(&prepared.record)?;
    seal::release();
    loop {
        match child.receive()? {
            Report::Hooks => {
                let all = spec.hooks.clone().unwrap_or_default();
                run_parent_hooks(&all, state)?;
                child.tell(Progress::HooksDone);
            }
            Report::Ready(console) => return Ok(console),
            Report::Failed { message, kind } => return Err(Error::Init { message, kind }),
            Report::Died => {
                return Err(Error::Init {
                    message: "the process died (out of memory, or killed)".to_owned(),
                    kind: base_errors::Kind::Internal,
                });
            }
        }
    }
}

fn run_parent_hooks(all: &Hooks, state: &State) -> Result<(), Error> {
    if needs_parent(all) {
        hooks::run("prestart", &all.prestart, state)?;
        hooks::run("createRuntime", &all.create_runtime, state)?;
    }
    Ok(())
}

/// Hands out what the caller wanted of a container that is ready.
fn finish(
    pid: i32,
    pidfd: BorrowedFd<'_>,
    console: Option<OwnedFd>,
    own: kernel_sys::NamespaceFlags,
    options: &crate::request::CreateOptions,
    wants_terminal: bool,
) -> Result<(Option<OwnedFd>, Vec<OwnedFd>), Error> {
    if wants_terminal && console.is_none() {
        return Err(Error::Configuration("a terminal needs a mount namespace".to_owned()));
    }
    let console = console::hand_over(console, options.console_socket.as_deref())?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, pid)?;
    }
    Ok((console, keep_alive(pidfd, own)))
}

/// Writes a pid file whole.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<(), Error> {
    let durability = base_files::Durability::Processes;
    base_files::replace(path, pid.to_string().as_bytes(), 0o644, durability)
        .map_err(|source| Error::State { step: "write", path: path.to_owned(), source })
}

fn make_cgroup(cgroup: &dyn Cgroup, linux: &Linux) -> Result<(), Error> {
    cgroup.create()?;
    limit_cgroup(cgroup, linux)
}

fn limit_cgroup(cgroup: &dyn Cgroup, linux: &Linux) -> Result<(), Error> {
    let none = Resources::default();
    let resources = linux.resources.as_ref().unwrap_or(&none);
    cgroup.apply(resources)?;
    cgroup.apply_devices(resources)?;
    Ok(())
}

/// The socket at which init waits for `start`. Its path is longer than an address may be, so it is
/// named through the folder's descriptor.
fn listen_for_start(folder: &Folder) -> Result<OwnedFd, Error> {
    let (address, _open) = socket_address(folder)?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(refused("make start socket"))?;
    bind(&socket, &address).map_err(refused("bind start socket"))?;
    listen(&socket, 1).map_err(refused("listen on start socket"))?;
    Ok(socket)
}

/// The address of a container's start socket, good while the descriptor is open.
pub(crate) fn socket_address(folder: &Folder) -> Result<(SocketAddrUnix, OwnedFd), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::open(folder.path(), flags, Mode::empty())
        .map_err(refused("open the container's state folder"))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/start.sock", open.as_raw_fd()));
    let address = SocketAddrUnix::new(path).map_err(refused("address of the start socket"))?;
    Ok((address, open))
}

/// The present time, RFC 3339.
fn now() -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    base_telemetry::logger::timestamp(now.as_secs(), now.subsec_nanos())
}
