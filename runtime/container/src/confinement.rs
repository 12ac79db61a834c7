//! From the runtime's process to the container's: identity, limits, filter, program.
//!
//! [`Confinement::new`] reads the configuration in the parent, but for the filter: that of a new
//! container is compiled while its first process mounts. In the child,
//! [`Confinement::settle`] does everything that may fail for the user's reasons, before the
//! container counts as created; [`Confinement::run`] does the last steps and executes the program.

use crate::error::{Error, reason, refused};
use crate::{handshake, program};
use base_oci::runtime::{CpuAffinity, Linux, MemoryPolicy, Personality, Process, Seccomp, User};
use kernel_paths::Procfs;
use runtime_confine::affinity::Affinity;
use runtime_confine::labels::Labels;
use runtime_confine::seccomp::Filter;
use runtime_confine::{capabilities, identity, rlimits, scheduling};
use rustix::fs::{Mode, OFlags, fchown, fstat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

/// The exit code of a process whose program the kernel refuses to execute.
pub(crate) const REFUSED_PROGRAM: i32 = 255;

/// Everything about one process but its namespaces and files.
#[derive(Debug)]
pub(crate) struct Confinement {
    args: Vec<String>,
    env: Vec<String>,
    cwd: String,
    user: User,
    capabilities: capabilities::Sets,
    limits: rlimits::Limits,
    scheduling: scheduling::Scheduling,
    no_new_privileges: bool,
    oom_score_adj: Option<i32>,
    labels: Labels,
    affinity: Affinity,
    preserve_fds: u32,
}

/// What is executed in the end.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

/// The profile of a container's filter, if it is to have one: as under runc, a profile that says nothing
/// is none.
pub(crate) fn profile(linux: &Linux) -> Option<&Seccomp> {
    let says_something = |p: &&Seccomp| p.default_action.is_some() || !p.syscalls.is_empty();
    linux.seccomp.as_ref().filter(says_something)
}

impl Confinement {
    /// Reads the configuration of a process.
    pub(crate) fn new(
        process: &Process,
        memory: Option<&MemoryPolicy>,
        personality: Option<&Personality>,
        preserve_fds: u32,
    ) -> Result<Self, Error> {
        if process.args.is_empty() {
            return Err(Error::Configuration("args must not be empty".to_owned()));
        }
        let cwd = process.cwd.as_str();
        if cwd.is_empty() {
            return Err(Error::Configuration("Cwd property must not be empty".to_owned()));
        }
        if !cwd.starts_with('/') {
            return Err(Error::Configuration("cwd must be an absolute path".to_owned()));
        }
        identity::check(&process.user)?;
        for number in 3..preserve_fds.saturating_add(3) {
            if !kernel_sys::is_inherited(number) {
                return Err(Error::Configuration(format!(
                    "descriptor {number} is to be passed on ({preserve_fds} from 3 on), but is not open"
                )));
            }
        }
        Ok(Self {
            args: process.args.clone(),
            env: process.env.clone(),
            cwd: cwd.to_owned(),
            user: process.user.clone(),
            capabilities: process
                .capabilities
                .as_ref()
                .map(capabilities::Sets::parse)
                .unwrap_or_default(),
            limits: rlimits::Limits::parse(&process.rlimits)?,
            scheduling: scheduling::Scheduling::parse(
                process.scheduler.as_ref(),
                process.io_priority.as_ref(),
                memory,
                personality,
            )?,
            no_new_privileges: process.no_new_privileges,
            oom_score_adj: process.oom_score_adj,
            labels: Labels::new(&process.apparmor_profile, &process.selinux_label),
            affinity: Affinity::default(),
            preserve_fds,
        })
    }

    /// With the CPUs of an exec'd process.
    pub(crate) fn with_affinity(mut self, affinity: Option<&CpuAffinity>) -> Result<Self, Error> {
        self.affinity = Affinity::parse(affinity)?;
        Ok(self)
    }

    /// The CPUs.
    pub(crate) fn affinity(&self) -> &Affinity {
        &self.affinity
    }

    /// The working directory.
    pub(crate) fn cwd(&self) -> &str {
        &self.cwd
    }

    /// The labels.
    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// How many descriptors the program inherits.
    fn inherited(&self) -> u32 {
        3 + self.preserve_fds
    }

    /// Sets what the out-of-memory killer is to think of a process, `self` or a number: before it
    /// has joined a user namespace, whose root may only raise it.
    pub(crate) fn set_oom_score(&self, procfs: &Procfs, process: &str) -> Result<(), Error> {
        let Some(score) = self.oom_score_adj else { return Ok(()) };
        let file = Path::new(process).join("oom_score_adj");
        procfs
            .write(&file, score.to_string().as_bytes())
            .map_err(|source| Error::OomScore { score, source })
    }

    /// Becomes the container's user, under its limits, in its working directory, and finds the
    /// program, which will have the labels: so will hooks that run from here on, as under runc. The
    /// process is in the container's namespaces and root.
    ///
    /// From here on paths are the container's, and any of them may be a link to
    /// `/proc/self/fd/N/…`: a descriptor of a folder of the host would lead out (CVE-2024-21626). So
    /// every descriptor is closed but the program's own and `keep`, which must not be folders, and
    /// then `procfs`.
    pub(crate) fn settle(&self, procfs: Procfs, keep: &[BorrowedFd<'_>]) -> Result<Program, Error> {
        let mut open: Vec<_> = (3..self.inherited()).map(u32::cast_signed).collect();
        open.extend(keep.iter().map(AsRawFd::as_raw_fd));
        open.push(procfs.as_fd().as_raw_fd());
        kernel_sys::close_all_but(&open).map_err(refused("close the caller's descriptors"))?;
        self.labels.apply(&procfs)?;
        let may_set_groups = identity::may_set_groups(&procfs);
        drop(procfs);
        self.scheduling.apply()?;
        self.limits.apply()?;
        own_stdio(self.user.uid)?;
        // As root first: a working directory that the user may not enter is allowed, as in runc.
        let first = program::enter_folder(&self.cwd);
        rustix::process::umask(Mode::from_raw_mode(0o022));
        self.capabilities.apply_bounding()?;
        identity::apply(&self.user, may_set_groups)?;
        self.capabilities.apply_effective_only()?;
        if first.is_err() {
            program::enter_folder(&self.cwd)?;
        }
        let env = program::with_home(&self.env, self.user.uid);
        Ok(Program {
            path: program::find(&self.args[0], &env)?,
            args: program::c_strings(&self.args)?,
            env: program::c_strings(&env)?,
        })
    }

    /// Does the last steps and executes the program; returns only when a step failed. A program
    /// that the kernel refuses to execute is the program's own failure, told on its stderr.
    /// `channel` is where to tell of the filter's listener.
    ///
    /// Without no-new-privileges a filter needs `CAP_SYS_ADMIN`, so it comes before the
    /// capabilities are given up; with it, it comes last, so that it need allow nothing but exec
    /// (and, for a listener, read and write).
    pub(crate) fn run(
        &self,
        program: &Program,
        filter: Option<&Filter>,
        channel: BorrowedFd<'_>,
    ) -> Error {
        let install = || -> Result<(), Error> {
            let Some(filter) = filter else { return Ok(()) };
            if let Some(descriptor) = filter.install()? {
                handshake::offer_listener(channel, &descriptor);
            }
            Ok(())
        };
        let steps = || -> Result<(), Error> {
            kernel_sys::signals::reset();
            kernel_sys::close_on_exec_from(self.inherited())
                .map_err(refused("mark descriptors close-on-exec"))?;
            if self.no_new_privileges {
                rustix::thread::set_no_new_privs(true).map_err(refused("set no_new_privs"))?;
                self.capabilities.apply()?;
                install()?;
            } else {
                capabilities::Sets::raise_all()?;
                install()?;
                self.capabilities.apply()?;
            }
            Ok(())
        };
        if let Err(error) = steps() {
            return error;
        }
        let Err(errno) = kernel_sys::execve(&program.path, &program.args, &program.env);
        let text = format!("exec {}: {}\n", program.path.to_string_lossy(), reason(errno));
        let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
        kernel_sys::exit_now(REFUSED_PROGRAM)
    }
}

/// Gives stdin, stdout and stderr to the user, so that it can open them again through `/dev`.
/// Where one is the host's null device it becomes the container's: the host's has no path inside.
fn own_stdio(uid: u32) -> Result<(), Error> {
    let null = rustix::fs::makedev(1, 3);
    let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for (number, descriptor) in stdio.into_iter().enumerate() {
        let found = match fstat(descriptor.as_fd()) {
            Err(Errno::BADF) => continue,
            result => result.map_err(refused("look at stdio"))?,
        };
        if found.st_rdev == null {
            reopen_null(number)?;
            continue;
        }
        if found.st_uid == uid {
            continue;
        }
        match fchown(descriptor, Some(rustix::fs::Uid::from_raw(uid)), None) {
            // Of another user namespace, on a read-only file system, or something without owner.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => return Err(refused("give stdio to the user")(errno)),
        }
    }
    Ok(())
}

/// Puts the container's null device in the place of a standard descriptor, if it has one.
fn reopen_null(number: usize) -> Result<(), Error> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let Ok(inside) = rustix::fs::open("/dev/null", flags, Mode::empty()) else { return Ok(()) };
    let is_null = fstat(&inside).is_ok_and(|stat| stat.st_rdev == rustix::fs::makedev(1, 3));
    if !is_null {
        return Ok(());
    }
    match number {
        0 => rustix::stdio::dup2_stdin(&inside),
        1 => rustix::stdio::dup2_stdout(&inside),
        _ => rustix::stdio::dup2_stderr(&inside),
    }
    .map_err(refused("open the container's null device"))
}
