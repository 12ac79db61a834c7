//! A container's first process, from its birth to the program.
//!
//! It is a clone of the caller and goes on with the caller's memory: no exec of a helper, so
//! nothing of the host's is ever reachable through `/proc/<pid>/exe` but the runtime itself,
//! which the process being non-dumpable keeps out of reach until the program is executed.

use crate::confinement::{Confinement, profile};
use crate::error::{Error, refused};
use crate::handshake::{ChildEnd, Progress, send_failure};
use crate::namespaces::Namespaces;
use crate::request::CreateOptions;
use crate::request::Stdio;
use crate::{hooks, seal};
use base_faults::{Step, reach, step};
use base_oci::runtime::{Hooks, Linux, NamespaceKind, Spec};
use contracts_runtime_api::{State, Status};
use kernel_paths::{Procfs, Root};
use kernel_sys::{NamespaceFlags, message};
use runtime_confine::seccomp::Filter;
use runtime_confine::sysctls;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::DumpableBehavior;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Everything that the first process needs, prepared by its parent.
#[derive(Debug)]
pub(crate) struct Init<'a> {
    pub(crate) id: &'a str,
    pub(crate) spec: &'a Spec,
    pub(crate) linux: &'a Linux,
    pub(crate) options: &'a CreateOptions,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) plan: &'a runtime_rootfs::Plan,
    pub(crate) rootfs: PathBuf,
    pub(crate) confinement: &'a Confinement,
    pub(crate) state: &'a State,
    /// Where it waits to be started, unless it starts at once.
    pub(crate) listener: Option<&'a OwnedFd>,
    pub(crate) is_ordinary_user: bool,
    pub(crate) has_cgroup_namespace: bool,
}

const BORN: &Step = step("init.create.born");
const BEGUN: &Step = step("init.create.begun");
const MOUNTED: &Step = step("init.create.mounted");
const CREATE_HOOKS_RUN: &Step = step("init.create.hooks-run");
const ENTERED: &Step = step("init.create.entered");
const SETTLED: &Step = step("init.create.settled");
const TOLD_READY: &Step = step("init.create.told-ready");
const READY_TO_RUN: &Step = step("init.run.told-ready");
const CONNECTED: &Step = step("init.start.connected");
const GO_HEARD: &Step = step("init.start.go-heard");
const START_HOOKS_RUN: &Step = step("init.start.hooks-run");

/// What `start` says to go on.
pub(crate) const GO: &[u8] = b"G";

/// What [`Init::prepare`] leaves to do: a program, confined by the filter.
struct Prepared {
    program: crate::confinement::Program,
    filter: Option<Filter>,
    /// The terminal's master, if one is wanted.
    console: Option<OwnedFd>,
}

impl Init<'_> {
    /// Does all of it; never returns.
    pub(crate) fn run(&self, mut parent: ChildEnd, stdio: Stdio) -> ! {
        match self.prepare(&mut parent, stdio) {
            Ok(Prepared { program, filter, console }) => {
                parent.ready(console.as_ref().map(AsFd::as_fd));
                // Held any longer, they would keep somebody waiting for their end.
                drop(console);
                let channel = match self.listener {
                    Some(listener) => {
                        drop(parent);
                        reach(TOLD_READY);
                        wait_for_start(listener)
                    }
                    None => {
                        reach(READY_TO_RUN);
                        if self.options.hand_out() {
                            parent.wait_for(Progress::HandedOut);
                        }
                        parent.into()
                    }
                };
                self.go(&program, filter.as_ref(), channel.as_fd())
            }
            Err(error) => {
                parent.failed(&error);
                kernel_sys::exit_now(1)
            }
        }
    }

    fn prepare(&self, parent: &mut ChildEnd, stdio: Stdio) -> Result<Prepared, Error> {
        reach(BORN);
        if self.is_ordinary_user {
            // Its maps are written by way of `/proc`, where a process that is not dumpable is the
            // host's root's.
            parent.wait_for(Progress::Mapped);
        }
        let procfs = begin(parent)?;
        reach(BEGUN);
        if self.namespaces.makes(NamespaceKind::User) {
            parent.wait_for(Progress::Mapped);
            become_mapped_root(parent)?;
        } else if self.namespaces.joins(NamespaceKind::User) {
            become_mapped_root(parent)?;
        }
        self.namespaces.join_in_child()?;
        self.make_time_namespace(&procfs)?;
        if self.namespaces.makes(NamespaceKind::Network) {
            kernel_sys::network::loopback_up().map_err(refused("bring up lo"))?;
        }
        if !self.options.no_new_keyring {
            self.confinement.labels().apply_to_keys(&procfs)?;
            join_keyring(self.id)?;
        }
        let wants_terminal = matches!(stdio, Stdio::Terminal);
        install_stdio(stdio)?;
        // Files are made with exactly the permissions that are asked for.
        rustix::process::umask(Mode::empty());
        let console = if self.namespaces.own().contains(&NamespaceKind::Mount) {
            self.build_root(parent, wants_terminal)?
        } else {
            self.use_root(parent)?;
            None
        };
        if self.namespaces.own().contains(&NamespaceKind::Uts) {
            self.set_names()?;
        }
        if !self.linux.net_devices.is_empty() {
            // Some sysctls are theirs.
            parent.wait_for(Progress::Attached);
        }
        sysctls::apply(&self.linux.sysctl, &procfs)?;
        let keep: Vec<_> = [parent.as_fd()]
            .into_iter()
            .chain(self.listener.map(AsFd::as_fd))
            .chain(console.as_ref().map(AsFd::as_fd))
            .chain(base_faults::descriptor())
            .collect();
        let program = self.confinement.settle(procfs, &keep)?;
        reach(SETTLED);
        parent.wait_for(Progress::Attached);
        self.confinement.affinity().apply_final()?;
        let filter = parent.take_filter();
        // Never without one that is wanted.
        if profile(self.linux).is_some() != filter.is_some() {
            return Err(refused("receive the seccomp filter")(Errno::BADMSG));
        }
        Ok(Prepared { program, filter, console })
    }

    /// Builds the root file system and moves into it; the terminal's master, if one is wanted.
    fn build_root(
        &self,
        parent: &mut ChildEnd,
        wants_terminal: bool,
    ) -> Result<Option<OwnedFd>, Error> {
        self.plan.isolate()?;
        let private = self.has_cgroup_namespace;
        let mut is_in_cgroup_namespace = false;
        let tree = self.plan.build(|| -> Result<(), Error> {
            if private && !is_in_cgroup_namespace {
                parent.wait_for(Progress::Attached);
                unshare_cgroup()?;
                is_in_cgroup_namespace = true;
            }
            parent.wait_for(Progress::CgroupsMade);
            Ok(())
        })?;
        if private && !is_in_cgroup_namespace {
            parent.wait_for(Progress::Attached);
            unshare_cgroup()?;
        }
        let cwd = Path::new(self.confinement.cwd());
        // A missing working directory is made, as runc does; where it cannot be, entering it says
        // so.
        let _ = tree.create_directory(cwd);
        let console = if wants_terminal {
            let size = self.spec.process.as_ref().and_then(|process| process.console_size.as_ref());
            let (master, slave) = tree.console(size.map(crate::request::window))?;
            take_terminal(&slave)?;
            Some(master)
        } else {
            None
        };
        reach(MOUNTED);
        if self.spec.hooks.is_some() {
            // Where runc's hooks are run, too.
            tree.enter_folder()?;
        }
        self.run_hooks(parent)?;
        reach(CREATE_HOOKS_RUN);
        tree.seal()?;
        tree.enter(!self.options.no_pivot)?;
        reach(ENTERED);
        Ok(console)
    }

    /// Without a mount namespace of its own: a plain chroot.
    fn use_root(&self, parent: &mut ChildEnd) -> Result<(), Error> {
        self.run_hooks(parent)?;
        let root = Root::open_trusted(&self.rootfs)?;
        rustix::process::fchdir(&root).map_err(refused("enter the root"))?;
        rustix::process::chroot(".").map_err(refused("change the root"))
    }

    fn run_hooks(&self, parent: &mut ChildEnd) -> Result<(), Error> {
        let Some(all) = &self.spec.hooks else { return Ok(()) };
        if needs_parent(all) {
            parent.wait_for(Progress::Attached);
            parent.hooks();
        }
        hooks::run("createContainer", &all.create_container, &self.state_inside(Status::Creating))
    }

    /// The state that hooks hear of that run in the container's namespaces: the process has another
    /// number there.
    fn state_inside(&self, status: Status) -> State {
        State { pid: rustix::process::getpid().as_raw_pid(), status, ..self.state.clone() }
    }

    fn set_names(&self) -> Result<(), Error> {
        if !self.spec.hostname.is_empty() {
            rustix::system::sethostname(self.spec.hostname.as_bytes())
                .map_err(refused("set hostname"))?;
        }
        if !self.spec.domainname.is_empty() {
            rustix::system::setdomainname(self.spec.domainname.as_bytes())
                .map_err(refused("set domainname"))?;
        }
        Ok(())
    }

    /// Offsets can be set only before the first process is in the namespace, so this process
    /// makes it, sets them, and then goes in.
    fn make_time_namespace(&self, procfs: &Procfs) -> Result<(), Error> {
        if !self.namespaces.makes(NamespaceKind::Time) {
            return Ok(());
        }
        kernel_sys::unshare(NamespaceFlags::TIME).map_err(refused("make time namespace"))?;
        // The file is its user's only while it is dumpable. Nobody else is in its user namespace.
        let is_shown = self.namespaces.makes(NamespaceKind::User);
        if is_shown && !self.linux.time_offsets.is_empty() {
            rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)
                .map_err(refused("become dumpable"))?;
        }
        for (clock, offset) in &self.linux.time_offsets {
            let (secs, nanosecs) = (offset.secs.unwrap_or(0), offset.nanosecs.unwrap_or(0));
            let line = format!("{clock} {secs} {nanosecs}\n");
            procfs.write(Path::new("self/timens_offsets"), line.as_bytes())?;
        }
        become_unreachable()?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let made = rustix::fs::open("/proc/self/ns/time_for_children", flags, Mode::empty())
            .map_err(refused("open time namespace"))?;
        kernel_sys::setns(made.as_fd(), NamespaceFlags::TIME)
            .map_err(refused("join time namespace"))
    }

    /// Runs the program. What goes wrong now is told on the channel, which exec closes.
    fn go(
        &self,
        program: &crate::confinement::Program,
        filter: Option<&Filter>,
        channel: BorrowedFd<'_>,
    ) -> ! {
        let result = self.spec.hooks.as_ref().map_or(Ok(()), |all| {
            hooks::run("startContainer", &all.start_container, &self.state_inside(Status::Created))
        });
        reach(START_HOOKS_RUN);
        let error = match result {
            Ok(()) => self.confinement.run(program, filter, channel),
            Err(error) => error,
        };
        send_failure(channel, &error);
        kernel_sys::exit_now(1)
    }
}

/// Waits for `start`; the connection on which it hears what becomes of the program.
fn wait_for_start(listener: &OwnedFd) -> OwnedFd {
    let connection = loop {
        match accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(connection) => break connection,
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(_) => kernel_sys::exit_now(1),
        }
    };
    reach(CONNECTED);
    let mut word = [0_u8; 1];
    match message::receive(&connection, &mut word) {
        Ok((1, _)) if word == GO => {}
        // Who wanted to start it died: it cannot be started any more.
        _ => kernel_sys::exit_now(1),
    }
    reach(GO_HEARD);
    connection
}

/// Whether hooks have to run in the parent.
pub(crate) fn needs_parent(hooks: &Hooks) -> bool {
    !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty()
}

/// The first steps of every process that is to run in a container: out of its reach, not without
/// its parent, and away from the caller's session. The host's `/proc`, opened while this process
/// still sees it.
pub(crate) fn begin(parent: &ChildEnd) -> Result<Procfs, Error> {
    become_unreachable()?;
    parent.follow()?;
    seal::release();
    let procfs = Procfs::open()?;
    rustix::process::setsid().map_err(refused("setsid"))?;
    Ok(procfs)
}

/// Nobody but the host's root may look into this process from here on (CVE-2016-9962,
/// CVE-2019-5736); execve undoes it.
pub(crate) fn become_unreachable() -> Result<(), Error> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(refused("become non-dumpable"))
}

/// Becomes root of a user namespace whose maps have been written.
pub(crate) fn become_mapped_root(parent: &ChildEnd) -> Result<(), Error> {
    let (uid, gid) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
        .map_err(refused("become root of the user namespace"))?;
    // Changing ids made it dumpable again.
    become_unreachable()?;
    parent.follow()
}

fn unshare_cgroup() -> Result<(), Error> {
    kernel_sys::unshare(NamespaceFlags::CGROUP).map_err(refused("make cgroup namespace"))
}

/// A session keyring of the container's own (keyrings know no namespaces).
pub(crate) fn join_keyring(id: &str) -> Result<(), Error> {
    /// Possessor: all; user: view, read, search and link, as under runc.
    const PERMISSIONS: u32 = 0x3f1b_0000;
    let name = CString::new(format!("_ses.{id}"))
        .map_err(|_| Error::Configuration("id with a NUL character".to_owned()))?;
    match kernel_sys::keyring::join_session(&name) {
        // The kernel has no key retention, or the quota of keys is used up: as runc, go on.
        Err(Errno::NOSYS | Errno::DQUOT) => Ok(()),
        Err(errno) => Err(refused("join session keyring")(errno)),
        Ok(serial) => {
            let _ = kernel_sys::keyring::set_permissions(serial, PERMISSIONS);
            Ok(())
        }
    }
}

/// Puts the given descriptors in the place of stdin, stdout and stderr.
pub(crate) fn install_stdio(stdio: Stdio) -> Result<(), Error> {
    let Stdio::Descriptors { stdin, stdout, stderr } = stdio else { return Ok(()) };
    rustix::stdio::dup2_stdin(&stdin)
        .and_then(|()| rustix::stdio::dup2_stdout(&stdout))
        .and_then(|()| rustix::stdio::dup2_stderr(&stderr))
        .map_err(refused("install stdio"))
}

/// Makes a terminal this session's own, and stdin, stdout and stderr.
pub(crate) fn take_terminal(slave: &OwnedFd) -> Result<(), Error> {
    rustix::stdio::dup2_stdin(slave)
        .and_then(|()| rustix::stdio::dup2_stdout(slave))
        .and_then(|()| rustix::stdio::dup2_stderr(slave))
        .and_then(|()| rustix::process::ioctl_tiocsctty(slave))
        .map_err(refused("take the terminal"))
}
