//! A container's first process: cloned, guided until it waits to be started, or runs.

use crate::confinement::profile;
use crate::create::{Prepared, Start, shown};
use crate::error::{Error, refused};
use crate::handshake::{self, ParentEnd, Progress, Report};
use crate::init::{Init, become_unreachable, needs_parent};
use crate::lifecycle::{SIGKILL, kill_all};
use crate::namespaces::keep_alive;
use crate::request::{CreateOptions, CreateRequest, Created, Stdio};
use crate::start::{run_poststart, see_off};
use crate::store::{Folder, UNMADE_SOCKET, process_stat};
use crate::{hooks, netdevices, seal, sockets, user_namespace};
use base_faults::{Step, reach, step};
use base_oci::runtime::{Hooks, NamespaceKind, Resources, Spec};
use contracts_runtime_api::{State, Status};
use kernel_paths::Procfs;
use kernel_sys::{
    Cloned, NamespaceFlags, PidfdNamespace, clone_sibling, clone3, namespace_of, signals,
};
use runtime_cgroups::{Cgroup, resctrl};
use runtime_confine::seccomp;
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, socketpair,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const RECORD_WRITTEN: &Step = step("runtime.create.record-written");
const LISTENING: &Step = step("runtime.create.listening");
const CLONED: &Step = step("runtime.create.cloned");
const PID_RECORDED: &Step = step("runtime.create.pid-recorded");
const CGROUP_MADE: &Step = step("runtime.create.cgroup-made");
const ATTACHED: &Step = step("runtime.create.attached");
const TOLD_ATTACHED: &Step = step("runtime.create.told-attached");
const HOOKS_RUN: &Step = step("runtime.create.hooks-run");
const TOLD_HOOKS: &Step = step("runtime.create.told-hooks");
const READY_HEARD: &Step = step("runtime.create.ready-heard");
const PID_FILE_WRITTEN: &Step = step("runtime.create.pid-file-written");
const MADE: &Step = step("runtime.create.made");

/// Clones the first process and sees it through to where it waits to be started.
pub(crate) fn launch(
    request: CreateRequest<'_>,
    folder: &Folder,
    prepared: &mut Prepared<'_>,
    start: Start,
) -> Result<Created, Error> {
    let CreateRequest { spec, id, stdio, options, .. } = request;
    let wants_terminal = matches!(stdio, Stdio::Terminal);
    let listener = match start {
        Start::Later => Some(listen_for_start(folder)?),
        Start::AtOnce => None,
    };
    reach(LISTENING);
    let born_in = birthplace(folder, prepared)?;
    let mut state = folder.state_as(&prepared.record, Status::Creating);
    let (parent_end, child_end) = handshake::pair()?;
    let (pid, pidfd) = match clone_first(prepared, born_in.as_ref().map(AsFd::as_fd))? {
        Cloned::Child => {
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
                listener: listener.as_ref(),
                is_ordinary_user: prepared.is_ordinary_user,
                has_cgroup_namespace: prepared.namespaces.makes(NamespaceKind::Cgroup),
            };
            init.run(child_end, stdio)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(child_end);
    // The child has its own copies: held here, too, a listener would never refuse, and a pipe
    // never end.
    drop((listener, stdio));
    reach(CLONED);
    state.pid = pid;
    let init = Clone { pid, pidfd: pidfd.as_fd(), is_in_cgroup: born_in.is_some() };
    let guided = guide(&parent_end, init, folder, prepared, spec, &mut state).and_then(|console| {
        let own = prepared.namespaces.own_flags();
        let handed_out = finish(init, console, own, &options, wants_terminal)?;
        match start {
            Start::Later => {
                folder.is_made()?;
                reach(MADE);
            }
            Start::AtOnce => {
                if options.hand_out() {
                    parent_end.tell(Progress::HandedOut);
                }
                see_off(&parent_end, folder, &prepared.record)?;
                run_poststart(folder, &prepared.record).inspect_err(|_| {
                    // What its program has started would outlive it.
                    if prepared.record.shares_pids {
                        let _ = kill_all(&prepared.record, SIGKILL);
                    }
                })?;
            }
        }
        Ok(handed_out)
    });
    match guided {
        Ok((console, namespaces)) => Ok(Created { pid, pidfd, console, namespaces }),
        Err(error) => {
            // Reaped here: the caller does not know of it.
            let _ = signals::send(pidfd.as_fd(), SIGKILL);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(error)
        }
    }
}

/// The first process, seen from its parent.
#[derive(Clone, Copy)]
struct Clone<'a> {
    pid: i32,
    pidfd: BorrowedFd<'a>,
    is_in_cgroup: bool,
}

/// The folder that the first process is born into: on cgroup v2 its cgroup, which so has to exist
/// before, as a scope of systemd's cannot. Who clones from within a user namespace has no right to
/// that.
fn birthplace(folder: &Folder, prepared: &mut Prepared<'_>) -> Result<Option<OwnedFd>, Error> {
    if prepared.cgroup.needs_process() {
        return Ok(None);
    }
    let is_born_there =
        prepared.record.cgroup_unified && !prepared.namespaces.joins(NamespaceKind::User);
    if prepared.record.rootless || is_born_there {
        // Before anything is made elsewhere: whoever finds the folder after this process was killed
        // can tell from the record what to remove.
        folder.write(&prepared.record)?;
        reach(RECORD_WRITTEN);
    }
    if prepared.record.rootless {
        make_permitted_cgroup(prepared)?;
    } else if is_born_there {
        prepared.cgroup_is_new = prepared.cgroup.create(None)?;
        prepared.cgroup_is_made = true;
    }
    if !is_born_there {
        return Ok(None);
    }
    reach(CGROUP_MADE);
    limit_cgroup(&*prepared.cgroup, prepared)?;
    Ok(prepared.cgroup.clone_target())
}

/// Makes the cgroup as far as that is allowed; what is left out is not shown either.
fn make_permitted_cgroup(prepared: &mut Prepared<'_>) -> Result<(), Error> {
    let (cgroup, is_new) =
        runtime_cgroups::create_permitted(&*prepared.cgroup, prepared.cgroup_is_named)?;
    (prepared.cgroup, prepared.cgroup_is_new) = (cgroup, is_new);
    prepared.cgroup_is_made = true;
    let record = prepared.cgroup.record();
    prepared.plan.show_cgroups(shown(&record, &prepared.namespaces));
    prepared.record.set_cgroup(record);
    Ok(())
}

/// Clones the first process into its new namespaces, from within those that it joins.
fn clone_first(prepared: &Prepared<'_>, born_in: Option<BorrowedFd<'_>>) -> Result<Cloned, Error> {
    let namespaces = &prepared.namespaces;
    if namespaces.joins(NamespaceKind::User)
        || namespaces.joins(NamespaceKind::Pid) && user_namespace::is_without_return()
    {
        return clone_by_another(|| go_within(prepared));
    }
    let back = prepared.namespaces.join_in_parent()?;
    let step = match born_in {
        None => "clone the container's first process",
        // Into its cgroup: for that its user must be able to write to both groups' cgroup.procs,
        // and to that of the group above the two.
        Some(_) => "clone the container's first process into its cgroup",
    };
    let cloned = clone3(prepared.namespaces.clone_flags(), born_in).map_err(refused(step));
    if matches!(cloned, Ok(Cloned::Child)) {
        return cloned;
    }
    back.back()?;
    cloned
}

/// With a joined user namespace: new namespaces belong to the user namespace in which they are
/// made, so that somebody has to go there first, and from there is no way back; as there is none
/// from a pid namespace for who is not the host's root. That is a process of its own, in which
/// `go_within` goes there and clones a sibling, and which then ends.
pub(crate) fn clone_by_another(
    go_within: impl FnOnce() -> Result<Cloned, Error>,
) -> Result<Cloned, Error> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(refused("make a socket pair"))?;
    let step = "clone a process to join the user namespace";
    let pidfd = match clone3(NamespaceFlags::EMPTY, None).map_err(refused(step))? {
        Cloned::Parent { pidfd, .. } => pidfd,
        Cloned::Child => {
            drop(ours);
            match go_within() {
                Ok(Cloned::Child) => return Ok(Cloned::Child),
                Ok(Cloned::Parent { pid, pidfd }) => {
                    handshake::send_cloned(&theirs, pid, pidfd.as_fd());
                    kernel_sys::exit_now(0)
                }
                Err(error) => {
                    handshake::send_failure(theirs.as_fd(), &error);
                    kernel_sys::exit_now(1)
                }
            }
        }
    };
    drop(theirs);
    let heard = handshake::hear(&ours);
    let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    match heard? {
        Report::Cloned(pid, pidfd) => Ok(Cloned::Parent { pid, pidfd }),
        Report::Failed { message, kind } => Err(Error::Init { message, kind }),
        _ => Err(died()),
    }
}

fn go_within(prepared: &Prepared<'_>) -> Result<Cloned, Error> {
    let procfs = Procfs::open()?;
    if prepared.is_ordinary_user {
        prepared.confinement.set_oom_score(&procfs, "self")?;
    }
    // Before the namespace's processes can see this one.
    become_unreachable()?;
    prepared.namespaces.join_for_good(prepared.is_ordinary_user)?;
    let linux = &prepared.linux;
    user_namespace::expect_maps(&procfs, &linux.uid_mappings, &linux.gid_mappings)?;
    clone_sibling(prepared.namespaces.clone_flags())
        .map_err(refused("clone the container's first process"))
}

/// The parent's half of the hand-shake; the terminal's master, if the child opened one.
fn guide(
    child: &ParentEnd,
    init: Clone<'_>,
    folder: &Folder,
    prepared: &mut Prepared<'_>,
    spec: &Spec,
    state: &mut State,
) -> Result<Option<OwnedFd>, Error> {
    // Before anything is made elsewhere, and before it can wait for anything but this process:
    // whoever finds it later can tell what to remove, and end it.
    prepared.record.pid = init.pid;
    prepared.record.start_time = process_stat(init.pid).map_or(0, |stat| stat.start_time);
    folder.write(&prepared.record)?;
    reach(PID_RECORDED);
    // An ordinary user may do that only to a process that can be traced: here one that waits for its
    // maps, not one that was cloned from within a user namespace.
    if !prepared.is_ordinary_user || prepared.namespaces.makes(NamespaceKind::User) {
        prepared.confinement.set_oom_score(&Procfs::open()?, &init.pid.to_string())?;
    }
    if prepared.cgroup.needs_process() {
        // While it still has its caller's user id: a user's systemd moves nobody else's processes.
        prepared.cgroup_is_new = prepared.cgroup.create(Some(init.pid))?;
        prepared.cgroup_is_made = true;
    }
    if prepared.namespaces.makes(NamespaceKind::User) {
        let linux = &prepared.linux;
        user_namespace::write_maps(init.pid, &linux.uid_mappings, &linux.gid_mappings)?;
    }
    child.tell(Progress::Mapped);
    if !init.is_in_cgroup {
        if !prepared.cgroup_is_made {
            prepared.cgroup_is_new = prepared.cgroup.create(Some(init.pid))?;
        }
        reach(CGROUP_MADE);
        child.tell(Progress::CgroupsMade);
        limit_cgroup(&*prepared.cgroup, prepared)?;
        prepared.cgroup.attach(init.pid)?;
    }
    if join_resctrl(init.pid, prepared)? {
        folder.write(&prepared.record)?;
    }
    if !prepared.linux.net_devices.is_empty() {
        let network = network_of(init, prepared)?;
        netdevices::move_in(&prepared.linux.net_devices, network.as_fd())?;
    }
    // Here, while the child mounts, and not before there was one.
    if let Some(profile) = profile(&prepared.linux) {
        let filter = seccomp::compile(profile)?.to_bytes();
        folder.write_filter(&filter)?;
        child.give_filter(&filter);
    }
    reach(ATTACHED);
    child.tell(Progress::Attached);
    reach(TOLD_ATTACHED);
    seal::release();
    loop {
        match child.receive()? {
            Report::Hooks => {
                let all = spec.hooks.clone().unwrap_or_default();
                run_parent_hooks(&all, state)?;
                reach(HOOKS_RUN);
                child.tell(Progress::HooksDone);
                reach(TOLD_HOOKS);
            }
            Report::Ready(console) => {
                reach(READY_HEARD);
                return Ok(console);
            }
            Report::Failed { message, kind } => return Err(Error::Init { message, kind }),
            Report::Died | Report::Cloned(..) | Report::Listener(_) => return Err(died()),
        }
    }
}

/// Init ended without a word.
pub(crate) fn died() -> Error {
    Error::Init {
        message: "the process died (out of memory, or killed)".to_owned(),
        kind: base_errors::Kind::Internal,
    }
}

/// Makes or finds the container's class of service, and puts its first process in; whether it has
/// one.
fn join_resctrl(pid: i32, prepared: &mut Prepared<'_>) -> Result<bool, Error> {
    let (Some(root), Some(config)) = (&prepared.resctrl, &prepared.linux.intel_rdt) else {
        return Ok(false);
    };
    let group = resctrl::Group::create(root, config, &prepared.record.id)?;
    prepared.record.set_group(&group);
    group.attach(pid)?;
    Ok(true)
}

/// The container's network namespace.
fn network_of(init: Clone<'_>, prepared: &Prepared<'_>) -> Result<OwnedFd, Error> {
    if let Some(joined) = prepared.namespaces.joined(NamespaceKind::Network) {
        let failed = |_| refused("open the network namespace")(rustix::io::Errno::MFILE);
        return joined.try_clone_to_owned().map_err(failed);
    }
    if let Ok(namespace) = namespace_of(init.pidfd, PidfdNamespace::Network) {
        return Ok(namespace);
    }
    // Before Linux 6.11.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{}/ns/net", init.pid), flags, Mode::empty())
        .map_err(refused("open the network namespace"))
}

pub(crate) fn run_parent_hooks(all: &Hooks, state: &State) -> Result<(), Error> {
    if needs_parent(all) {
        hooks::run("prestart", &all.prestart, state)?;
        hooks::run("createRuntime", &all.create_runtime, state)?;
    }
    Ok(())
}

/// Hands out what the caller wanted of a container that is ready.
fn finish(
    init: Clone<'_>,
    console: Option<OwnedFd>,
    own: NamespaceFlags,
    options: &CreateOptions,
    wants_terminal: bool,
) -> Result<(Option<OwnedFd>, Vec<OwnedFd>), Error> {
    if wants_terminal && console.is_none() {
        return Err(Error::Configuration("a terminal needs a mount namespace".to_owned()));
    }
    let console = sockets::hand_over_console(console, options.console_socket.as_deref())?;
    sockets::hand_over_process(init.pidfd, "standard", options.pidfd_socket.as_deref())?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, init.pid)?;
        reach(PID_FILE_WRITTEN);
    }
    Ok((console, keep_alive(init.pidfd, own)))
}

/// Writes a pid file whole.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<(), Error> {
    let durability = base_files::Durability::Processes;
    base_files::replace(path, pid.to_string().as_bytes(), 0o644, durability)
        .map_err(|source| Error::State { step: "write", path: path.to_owned(), source })
}

pub(crate) fn limit_cgroup(cgroup: &dyn Cgroup, prepared: &Prepared<'_>) -> Result<(), Error> {
    let none = Resources::default();
    let resources = prepared.linux.resources.as_ref().unwrap_or(&none);
    cgroup.apply(resources)?;
    match cgroup.apply_devices(resources) {
        // Which devices may be used is root's to say; who is not cannot make device files either.
        Err(error) if prepared.record.rootless && runtime_cgroups::is_forbidden(&error) => Ok(()),
        result => Ok(result?),
    }
}

/// The socket at which init waits for `start`. Its path is longer than an address may be, so it is
/// named through the folder's descriptor.
fn listen_for_start(folder: &Folder) -> Result<OwnedFd, Error> {
    let (address, _open) = socket_address(folder, UNMADE_SOCKET)?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(refused("make start socket"))?;
    bind(&socket, &address).map_err(refused("bind start socket"))?;
    listen(&socket, 1).map_err(refused("listen on start socket"))?;
    Ok(socket)
}

/// The address of a socket in a container's folder, good while the descriptor is open.
pub(crate) fn socket_address(
    folder: &Folder,
    name: &str,
) -> Result<(SocketAddrUnix, OwnedFd), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::open(folder.path(), flags, Mode::empty())
        .map_err(refused("open the container's state folder"))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd()));
    let address = SocketAddrUnix::new(path).map_err(refused("address of the start socket"))?;
    Ok((address, open))
}
