//! `exec`: a further process in a container.

use crate::confinement::Confinement;
use crate::error::{Error, refused};
use crate::handshake::{self, ChildEnd, ParentEnd, Progress, Report};
use crate::init::{become_unreachable, begin, install_stdio, join_keyring, take_terminal};
use crate::launch::{clone_by_another, write_pid_file};
use crate::namespaces::Return;
use crate::request::{ExecRequest, Executed, Stdio};
use crate::start::no_listener;
use crate::store::{Folder, ProcessDefaults, Record, process_stat};
use crate::{seal, sockets, user_namespace};
use base_faults::{Step, reach, step};
use base_oci::runtime::{NamespaceKind, Process};
use contracts_runtime_api::Status;
use kernel_paths::Procfs;
use kernel_sys::{Cloned, NamespaceFlags, clone_sibling, clone3, setns, signals};
use runtime_confine::seccomp::Filter;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const FOUND: &Step = step("runtime.exec.found");
const CLONED: &Step = step("runtime.exec.cloned");
const ATTACHED: &Step = step("runtime.exec.attached");
const TOLD_ATTACHED: &Step = step("runtime.exec.told-attached");
const READY_HEARD: &Step = step("runtime.exec.ready-heard");
const PID_FILE_WRITTEN: &Step = step("runtime.exec.pid-file-written");
const BORN: &Step = step("init.exec.born");
const HEARD_ATTACHED: &Step = step("init.exec.attached");
const JOINED: &Step = step("init.exec.joined");
const SETTLED: &Step = step("init.exec.settled");
const TOLD_READY: &Step = step("init.exec.told-ready");

/// Every type of namespace that exec joins, where the container has one of its own.
const ALL: [NamespaceFlags; 8] = [
    NamespaceFlags::USER,
    NamespaceFlags::MOUNT,
    NamespaceFlags::PID,
    NamespaceFlags::NETWORK,
    NamespaceFlags::IPC,
    NamespaceFlags::UTS,
    NamespaceFlags::CGROUP,
    NamespaceFlags::TIME,
];

/// A container in which a process is to be run, as it was when it was found.
#[derive(Debug)]
pub struct Container {
    folder: Folder,
    record: Record,
}

impl Container {
    /// Finds it.
    ///
    /// # Errors
    /// There is no such container.
    pub fn find(root: &Path, id: &str) -> Result<Self, Error> {
        let (folder, record) = Folder::find(root, id)?;
        Ok(Self { folder, record })
    }

    /// The bundle that it was made of.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.record.bundle
    }

    /// Whether its user namespace is not the host's.
    pub(crate) fn has_user_namespace(&self) -> bool {
        NamespaceFlagsOf(self.record.namespaces).has(NamespaceFlags::USER)
    }
}

/// Runs a process; returns when it is confined and about to execute its program.
pub(crate) fn exec(request: ExecRequest) -> Result<Executed, Error> {
    let ExecRequest { container: Container { folder, record }, process, stdio, options } = request;
    match folder.status(&record) {
        Status::Stopped => return Err(Error::ExecStopped),
        // Its filter is not known yet, and its root may still be the host's.
        Status::Creating => return Err(Error::ExecCreating),
        // What waits to be started can be looked at by nobody but the host's root.
        Status::Created if user_namespace::is_ordinary_user() => return Err(Error::ExecCreated),
        Status::Paused if !options.ignore_paused => return Err(Error::ExecPaused),
        _ => {}
    }
    let process = with_defaults(process, &record.process);
    let filter = folder.read_filter()?;
    let listener = match filter.as_ref().is_some_and(Filter::notifies) {
        true => Some(record.listener.as_ref().ok_or_else(no_listener)?),
        false => None,
    };
    let (memory, personality) = (&record.process.memory_policy, &record.process.personality);
    let preserved = options.preserve_fds;
    let confinement = Confinement::new(&process, memory.as_ref(), personality.as_ref(), preserved)?
        .with_affinity(process.exec_cpu_affinity.as_ref())?;
    let container = open_init(&record)?;
    reach(FOUND);
    let (parent_end, child_end) = handshake::pair()?;
    let wants_terminal = matches!(stdio, Stdio::Terminal);

    let mut back = Return::default();
    let own = NamespaceFlagsOf(record.namespaces);
    let within = within(own);
    let is_cloned_within = !within.is_empty() && user_namespace::is_without_return();
    let cloned = if is_cloned_within {
        clone_by_another(|| go_within(within, &container, &confinement)).map_err(of_exec)
    } else {
        if own.has(NamespaceFlags::PID) {
            let namespace = pid_namespace(&record, &container)?;
            back.join(NamespaceKind::Pid, namespace.as_fd())?;
        }
        clone3(NamespaceFlags::EMPTY, None).map_err(no_clone)
    };
    let (pid, pidfd) = match cloned {
        Ok(Cloned::Child) => {
            drop(parent_end);
            let joined = if is_cloned_within { within } else { NamespaceFlags::EMPTY };
            let process = &process;
            let join = Joining {
                keyring: (!record.keeps_keyring).then(|| folder.id()),
                own,
                joined,
                is_moved: record.has_users_scope(),
                container,
                process,
                confinement,
                filter,
            };
            join.run(child_end, stdio)
        }
        Ok(Cloned::Parent { pid, pidfd }) => (pid, pidfd),
        Err(error) => {
            back.back()?;
            return Err(error);
        }
    };
    drop((child_end, stdio));
    reach(CLONED);
    let result = back.back().and_then(|()| {
        match record.cgroup().attach_further(pid, &options.cgroup, record.pid) {
            // As under runc: it stays in its caller's.
            Err(error) if record.rootless && runtime_cgroups::is_forbidden(&error) => {}
            result => result?,
        }
        // A group that was removed meanwhile has nothing to give.
        if let Some(group) = record.group().filter(|group| group.folder.is_dir()) {
            group.attach(pid)?;
        }
        reach(ATTACHED);
        parent_end.tell(Progress::Attached);
        reach(TOLD_ATTACHED);
        seal::release();
        let console = hear_ready(&parent_end, wants_terminal)?;
        reach(READY_HEARD);
        let console = sockets::hand_over_console(console, options.console_socket.as_deref())?;
        sockets::hand_over_process(pidfd.as_fd(), "setns", options.pidfd_socket.as_deref())?;
        if let Some(path) = &options.pid_file {
            write_pid_file(path, pid)?;
            reach(PID_FILE_WRITTEN);
        }
        if let Some(listener) = listener {
            let Report::Listener(number) = parent_end.receive()? else { return Err(died()) };
            let state = folder.state(&record);
            listener.serve(parent_end.as_fd(), pidfd.as_fd(), pid, number, &state)?;
        }
        Ok(console)
    });
    match result {
        Ok(console) => Ok(Executed { pid, pidfd, console }),
        Err(error) => {
            let _ = signals::send(pidfd.as_fd(), 9);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(error)
        }
    }
}

/// Where whoever cannot come back has to go before the process is cloned: to the pid namespace, and
/// to the user namespace, in which alone an ordinary user has rights over the other.
fn within(own: NamespaceFlagsOf) -> NamespaceFlags {
    [NamespaceFlags::USER, NamespaceFlags::PID]
        .into_iter()
        .filter(|flag| own.has(*flag))
        .fold(NamespaceFlags::EMPTY, |flags, flag| flags | flag)
}

/// Goes to these of the container's namespaces and clones the process there.
fn go_within(
    within: NamespaceFlags,
    container: &OwnedFd,
    confinement: &Confinement,
) -> Result<Cloned, Error> {
    confinement.set_oom_score(&Procfs::open()?, "self")?;
    become_unreachable()?;
    setns(container.as_fd(), within).map_err(refused("join the container's namespaces"))?;
    clone_sibling(NamespaceFlags::EMPTY).map_err(no_clone)
}

/// Why there is no process. ENOMEM: the pid namespace's init is gone (pid_namespaces(7)).
fn no_clone(errno: rustix::io::Errno) -> Error {
    match errno {
        rustix::io::Errno::NOMEM => Error::ExecStopped,
        errno => refused("clone the process")(errno),
    }
}

/// The failure of whoever was to clone the process, as that of the exec.
fn of_exec(error: Error) -> Error {
    match error {
        Error::Init { message, kind } => Error::Exec { message, kind },
        other => other,
    }
}

/// Waits until the process is confined; its terminal's master, if it is to have one.
fn hear_ready(parent: &ParentEnd, wants_terminal: bool) -> Result<Option<OwnedFd>, Error> {
    match parent.receive()? {
        Report::Ready(console) if wants_terminal == console.is_some() => Ok(console),
        Report::Failed { message, kind } => Err(Error::Exec { message, kind }),
        _ => Err(died()),
    }
}

fn died() -> Error {
    Error::Exec {
        message: "the process died (out of memory, or killed)".to_owned(),
        kind: base_errors::Kind::Internal,
    }
}

/// Fills in what the process leaves open from the container's own process.
fn with_defaults(mut process: Process, defaults: &ProcessDefaults) -> Process {
    let keep = |own: &mut String, default: &String| {
        if own.is_empty() {
            own.clone_from(default);
        }
    };
    keep(&mut process.cwd, &defaults.cwd);
    keep(&mut process.apparmor_profile, &defaults.apparmor_profile);
    keep(&mut process.selinux_label, &defaults.selinux_label);
    if process.env.is_empty() {
        process.env.clone_from(&defaults.env);
    }
    process.oom_score_adj = process.oom_score_adj.or(defaults.oom_score_adj);
    fill(&mut process.capabilities, &defaults.capabilities);
    fill(&mut process.scheduler, &defaults.scheduler);
    fill(&mut process.io_priority, &defaults.io_priority);
    fill(&mut process.exec_cpu_affinity, &defaults.exec_cpu_affinity);
    process
}

fn fill<T: Clone>(own: &mut Option<T>, default: &Option<T>) {
    if own.is_none() {
        own.clone_from(default);
    }
}

/// The container's init, made sure of after it was opened.
fn open_init(record: &Record) -> Result<OwnedFd, Error> {
    let pid = Pid::from_raw(record.pid).ok_or(Error::ExecStopped)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| Error::ExecStopped)?;
    match process_stat(record.pid) {
        Some(stat) if stat.start_time == record.start_time => Ok(pidfd),
        _ => Err(Error::ExecStopped),
    }
}

fn pid_namespace(record: &Record, container: &OwnedFd) -> Result<OwnedFd, Error> {
    use kernel_sys::{PidfdNamespace, namespace_of};
    if let Ok(namespace) = namespace_of(container.as_fd(), PidfdNamespace::Pid) {
        return Ok(namespace);
    }
    // Before Linux 6.11.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{}/ns/pid", record.pid), flags, Mode::empty())
        .map_err(|_| Error::ExecStopped)
}

/// A container's own namespaces, as its record keeps them.
#[derive(Clone, Copy)]
struct NamespaceFlagsOf(u64);

impl NamespaceFlagsOf {
    fn has(self, flag: NamespaceFlags) -> bool {
        self.0 & flag.bits() != 0
    }

    /// All but the pid namespace, which a process is born into.
    fn to_join(self) -> NamespaceFlags {
        ALL.into_iter()
            .filter(|flag| self.has(*flag) && *flag != NamespaceFlags::PID)
            .fold(NamespaceFlags::EMPTY, |flags, flag| flags | flag)
    }
}

/// What the new process needs.
struct Joining<'a> {
    /// Whose session keyring it is to be in, unless it stays in its caller's.
    keyring: Option<&'a str>,
    own: NamespaceFlagsOf,
    /// Those that it was born into.
    joined: NamespaceFlags,
    /// Whether its user's systemd moves it to its cgroup.
    is_moved: bool,
    container: OwnedFd,
    process: &'a Process,
    confinement: Confinement,
    filter: Option<Filter>,
}

impl Joining<'_> {
    /// Joins, confines itself and executes the program; never returns.
    fn run(&self, mut parent: ChildEnd, stdio: Stdio) -> ! {
        match self.prepare(&mut parent, stdio) {
            Ok((program, console)) => {
                parent.ready(console.as_ref().map(AsFd::as_fd));
                reach(TOLD_READY);
                let error = self.confinement.run(&program, self.filter.as_ref(), parent.as_fd());
                let text = format!("{}\n", error.message());
                let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
                kernel_sys::exit_now(255)
            }
            Err(error) => {
                parent.failed(&error);
                kernel_sys::exit_now(1)
            }
        }
    }

    fn prepare(
        &self,
        parent: &mut ChildEnd,
        stdio: Stdio,
    ) -> Result<(crate::confinement::Program, Option<OwnedFd>), Error> {
        reach(BORN);
        self.confinement.affinity().apply_initial()?;
        // Before the container's processes can see this one.
        let procfs = begin(parent)?;
        if self.is_moved {
            // While it still has its caller's user id: systemd moves nobody else's processes.
            parent.wait_for(Progress::Attached);
        }
        if self.joined.is_empty() {
            self.confinement.set_oom_score(&procfs, "self")?;
        }
        let flags = self.own.to_join().without(self.joined);
        if !flags.is_empty() {
            setns(self.container.as_fd(), flags)
                .map_err(refused("join the container's namespaces"))?;
        }
        if self.own.has(NamespaceFlags::USER) {
            crate::init::become_mapped_root(parent)?;
        }
        reach(JOINED);
        if let Some(id) = self.keyring {
            self.confinement.labels().apply_to_keys(&procfs)?;
            join_keyring(id)?;
        }
        let wants_terminal = matches!(stdio, Stdio::Terminal);
        install_stdio(stdio)?;
        let console = if wants_terminal {
            let size = self.process.console_size.as_ref().map(crate::request::window);
            let (master, slave) = runtime_rootfs::terminal(size)?;
            take_terminal(&slave)?;
            Some(master)
        } else {
            None
        };
        let keep: Vec<_> = [parent.as_fd()]
            .into_iter()
            .chain(console.as_ref().map(AsFd::as_fd))
            .chain(base_faults::descriptor())
            .collect();
        let program = self.confinement.settle(procfs, &keep)?;
        // Attaching to ten hierarchies takes as long as all of this: the parent does it meanwhile.
        parent.wait_for(Progress::Attached);
        reach(HEARD_ATTACHED);
        self.confinement.affinity().apply_final()?;
        reach(SETTLED);
        Ok((program, console))
    }
}
