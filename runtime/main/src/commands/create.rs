//! `create` and `run`.

use super::document;
use crate::Global;
use crate::activation::Activation;
use crate::arguments::{Flags, Parsed};
use crate::failure::Failure;
use crate::foreground::Foreground;
use base_faults::{Step, reach, step};
use base_oci::runtime::Spec;
use kernel_sys::{CloneFlags, Cloned, clone3};
use runtime_container::{CreateOptions, CreateRequest, Created, Stdio, io_reason};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const STARTED: &Step = step("runtime.run.started");
const ENDED: &Step = step("runtime.run.ended");

/// `create`.
pub(crate) fn create(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let prepared = Prepared::read(global, parsed)?;
    prepared.check_console(true)?;
    make(global, parsed.id()?, prepared, runtime_container::create, "create failed: ")?;
    Ok(0)
}

/// `run`.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let id = parsed.id()?;
    let prepared = Prepared::read(global, parsed)?;
    let is_detached = parsed.flags.has("detach");
    prepared.check_console(is_detached)?;
    let foreground = Foreground::for_container(is_detached, &parsed.flags)?;
    let created = make(global, id, prepared, runtime_container::run, "run failed: ")?;
    reach(STARTED);
    match foreground {
        None => Ok(0),
        Some(foreground) => follow(global, id, &foreground, created, &parsed.flags),
    }
}

/// Waits for a container's end and removes it; its exit code.
pub(super) fn follow(
    global: &Global,
    id: &str,
    foreground: &Foreground,
    created: Created,
    flags: &Flags,
) -> Result<u8, Failure> {
    let _holder = Holder::start(&created.namespaces);
    drop(created.namespaces);
    let code = foreground.wait(created.pid, &created.pidfd, created.console)?;
    reach(ENDED);
    if !flags.has("keep") {
        super::remove(global, id, true)?;
    }
    Ok(code)
}

/// A process that keeps the container's namespaces while this one lives, so that neither the
/// container's end nor this process' waits for their teardown, which is several milliseconds. It
/// ends when its pipe does.
struct Holder {
    #[expect(dead_code, reason = "its closing at this process' exit is the message")]
    pipe: OwnedFd,
}

impl Holder {
    fn start(namespaces: &[OwnedFd]) -> Option<Self> {
        let (end, pipe) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
        match clone3(CloneFlags::EMPTY, None).ok()? {
            Cloned::Parent { .. } => Some(Self { pipe }),
            Cloned::Child => {
                let mut keep: Vec<_> = namespaces.iter().map(AsRawFd::as_raw_fd).collect();
                keep.push(end.as_raw_fd());
                let _ = kernel_sys::close_all_but(&keep);
                // Whoever reads this process' output waits until nobody holds it any more.
                let _ = rustix::stdio::dup2_stdin(&end)
                    .and_then(|()| rustix::stdio::dup2_stdout(&end))
                    .and_then(|()| rustix::stdio::dup2_stderr(&end));
                let _ = rustix::io::read(&end, &mut [0_u8; 1]);
                kernel_sys::exit_now(0)
            }
        }
    }
}

/// What all that make a container need.
pub(super) struct Prepared {
    pub(super) bundle: PathBuf,
    pub(super) spec: Spec,
    pub(super) options: CreateOptions,
    pub(super) wants_terminal: bool,
}

impl Prepared {
    pub(super) fn read(global: &Global, parsed: &Parsed) -> Result<Self, Failure> {
        let bundle = parsed.flags.path("bundle").unwrap_or_else(|| PathBuf::from("."));
        let mut spec = document::config(&bundle)?;
        let wants_terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
        let mut options = options(global, &parsed.flags)?;
        if let Some(sockets) = Activation::read() {
            options.preserve_fds = options.preserve_fds.saturating_add(sockets.count());
            if let Some(process) = &mut spec.process {
                sockets.announce(&mut process.env);
            }
        }
        Ok(Self { bundle, spec, options, wants_terminal })
    }

    /// Whether there is somebody to have the terminal's other end.
    pub(super) fn check_console(&self, is_detached: bool) -> Result<(), Failure> {
        check_console(self.wants_terminal, is_detached, self.options.console_socket.is_some())
    }
}

/// A terminal of what is detached needs a console socket, and nothing else has a use for one.
pub(super) fn check_console(
    wants_terminal: bool,
    is_detached: bool,
    has_socket: bool,
) -> Result<(), Failure> {
    let wrong = |text: &str| Err(Failure::Other(text.to_owned()));
    match (wants_terminal && is_detached, has_socket) {
        (true, false) => {
            wrong("cannot allocate tty if runc will detach without setting console socket")
        }
        (false, true) => wrong("cannot use console socket if runc will not detach or allocate tty"),
        _ => Ok(()),
    }
}

fn options(global: &Global, flags: &Flags) -> Result<CreateOptions, Failure> {
    Ok(CreateOptions {
        pid_file: flags.path("pid-file"),
        systemd_cgroup: global.systemd_cgroup,
        no_cgroup: global.no_cgroup,
        rootless: global.rootless,
        no_pivot: flags.has("no-pivot"),
        no_new_keyring: flags.has("no-new-keyring"),
        preserve_fds: flags.number("preserve-fds")?.unwrap_or(0),
        console_socket: flags.path("console-socket"),
        pidfd_socket: flags.path("pidfd-socket"),
    })
}

fn make(
    global: &Global,
    id: &str,
    prepared: Prepared,
    how: fn(CreateRequest<'_>) -> Result<Created, runtime_container::Error>,
    during: &'static str,
) -> Result<Created, Failure> {
    let bundle = std::fs::canonicalize(&prepared.bundle).map_err(|error| {
        let bundle = prepared.bundle.display();
        Failure::Other(format!("bundle {bundle}: {}", io_reason(&error)))
    })?;
    let request = CreateRequest {
        root: Path::new(&global.root),
        id,
        bundle: &bundle,
        spec: &prepared.spec,
        rootfs_mounts: &[],
        stdio: if prepared.wants_terminal { Stdio::Terminal } else { Stdio::Inherit },
        options: prepared.options,
    };
    if let Some(warning) = request.warning() {
        global.log.warning(&warning);
    }
    how(request).map_err(Failure::during(during))
}
