//! CRIU, the program that writes processes to files and makes them again
//! (<https://criu.org>), and the conversation with it.
//!
//! It is started for one request (`criu swrk`), in a mount namespace of its own where it finds the
//! container's root as a mount, as it wants it; what it says on the way are steps of its work that
//! it waits at.

mod message;

pub(crate) use message::{Answer, Kind, Message};

use crate::error::{Error, refused};
use crate::handshake::{self, Report};
use crate::init::install_stdio;
use crate::lifecycle::SIGKILL;
use crate::request::Stdio;
use base_oci::runtime::{Mount, Spec};
use kernel_sys::{Cloned, NamespaceFlags, clone3, signals};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat};
use rustix::io::FdFlags;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::cell::RefCell;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Longest answer.
const MAX_ANSWER: usize = 64 * 1024;
/// The annotation that names a configuration file of CRIU's (runc's).
const CONFIGURATION: &str = "org.criu.config";
/// What counts without it, as under runc; CRIU does without one that is not there.
const DEFAULT_CONFIGURATION: &str = "/etc/criu/runc.conf";

/// What checkpoint and restore have in common: most are CRIU's own options.
#[derive(Clone, Debug, Default)]
pub struct CriuOptions {
    /// Folder of the image.
    pub image: PathBuf,
    /// Folder of CRIU's log and passing files; by default the image's.
    pub work: Option<PathBuf>,
    /// Take along established TCP connections.
    pub tcp_established: bool,
    /// Drop TCP connections that are not established yet.
    pub tcp_skip_in_flight: bool,
    /// Unix sockets may be connected to the outside.
    pub external_unix_sockets: bool,
    /// The container's session or terminal is its caller's.
    pub shell_job: bool,
    /// Take along file locks.
    pub file_locks: bool,
    /// Free what has been read or written twice.
    pub auto_dedup: bool,
    /// Leave memory where it is until it is used.
    pub lazy_pages: bool,
    /// What is done about cgroups.
    pub cgroups: CgroupsMode,
    /// Leave the network namespace empty.
    pub empty_network: bool,
    /// Security profile to restore instead of the one in the image, `type:name`.
    pub lsm_profile: Option<String>,
    /// SELinux label of restored mounts.
    pub lsm_mount_context: Option<String>,
}

/// What CRIU does about cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupsMode {
    /// Restores properties of those that it makes.
    #[default]
    Soft,
    /// Restores all properties.
    Full,
    /// Restores all properties, and wants every cgroup to be new.
    Strict,
    /// Leaves processes where they are.
    Ignore,
}

impl CgroupsMode {
    /// The one of this name, which may be left out.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "" | "soft" => Some(Self::Soft),
            "full" => Some(Self::Full),
            "strict" => Some(Self::Strict),
            "ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

impl CriuOptions {
    /// Opens the image's folder and that of the log.
    pub(crate) fn folders(&self) -> Result<[Inherited; 2], Error> {
        let open = |path: &Path| -> Result<Inherited, Error> {
            let opened = open_folder(path).map_err(refused(format!("open {}", path.display())))?;
            Ok(Inherited { opened, path: path.to_owned() })
        };
        Ok([open(&self.image)?, open(self.log_folder())?])
    }

    /// Makes the folder of the log where it is missing.
    pub(crate) fn make_work_folder(&self) -> Result<(), Error> {
        self.work.as_deref().map_or(Ok(()), make_folder)
    }

    /// Makes the image's folder, too.
    pub(crate) fn make_folders(&self) -> Result<(), Error> {
        make_folder(&self.image)?;
        self.make_work_folder()
    }

    fn log_folder(&self) -> &Path {
        self.work.as_deref().unwrap_or(&self.image)
    }

    /// The options as CRIU wants them.
    pub(crate) fn message(&self, folders: &[Inherited; 2], spec: &Spec, log: &str) -> Message {
        const VERBOSE: i32 = 4;
        let mode = match self.cgroups {
            CgroupsMode::Ignore => 0,
            CgroupsMode::Soft => 3,
            CgroupsMode::Full => 4,
            CgroupsMode::Strict => 5,
        };
        let new_network = i32::try_from(NamespaceFlags::NETWORK.bits()).unwrap_or_default();
        let mut options = Message::default();
        options
            .number(1, folders[0].opened.as_raw_fd())
            .flag(4, self.external_unix_sockets)
            .flag(5, self.tcp_established)
            .flag(7, self.shell_job)
            .flag(8, self.file_locks)
            .number(9, VERBOSE)
            .text(10, log)
            .flag(12, true)
            .flag(16, self.auto_dedup)
            .number(17, folders[1].opened.as_raw_fd())
            .flag(24, true)
            .number(34, mode)
            .number(38, if self.empty_network { new_network } else { 0 })
            .flag(46, self.tcp_skip_in_flight)
            .flag(48, self.lazy_pages)
            .flag(50, true)
            .optional(51, configuration(spec))
            .optional(53, self.lsm_profile.as_deref())
            .optional(63, self.lsm_mount_context.as_deref());
        options
    }

    /// What an answer that is no success means.
    pub(crate) fn failure(&self, answer: &Answer, log: &str) -> Error {
        let text = match answer.message.trim() {
            "" => "no reason given",
            text => text,
        };
        let log = self.log_folder().join(log);
        Error::Criu(format!("{text} (errno {}); its log: {}", answer.errno, log.display()))
    }
}

/// The file of further options that CRIU reads, which win; an empty name is none.
fn configuration(spec: &Spec) -> Option<&str> {
    let named = spec.annotations.get(CONFIGURATION).map(String::as_str);
    Some(named.unwrap_or(DEFAULT_CONFIGURATION)).filter(|name| !name.is_empty())
}

/// A folder that CRIU finds open under the same number. It mounts things in it, so it must be opened
/// again in its mount namespace.
#[derive(Debug)]
pub(crate) struct Inherited {
    opened: OwnedFd,
    path: PathBuf,
}

fn make_folder(path: &Path) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).recursive(true).create(path).map_err(|source| Error::State {
        step: "make",
        path: path.to_owned(),
        source,
    })
}

fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// The mounts that are made of something outside the container: where in the container, and of
/// what. CRIU takes down only their names.
pub(crate) fn external_mounts(
    spec: &Spec,
    bundle: &Path,
    cgroups: &runtime_cgroups::Record,
) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for mount in &spec.mounts {
        let destination = format!("/{}", mount.destination.trim_matches('/'));
        if is_bind(mount) {
            found.push((destination, bundle.join(&mount.source)));
        } else if matches!(mount.fstype.as_str(), "cgroup" | "cgroup2") {
            for hierarchy in &cgroups.hierarchies {
                if cgroups.unified {
                    found.push((destination.clone(), hierarchy.path.clone()));
                } else if !hierarchy.controllers.is_empty() {
                    let inner = format!("{destination}/{}", hierarchy.name);
                    found.push((inner, hierarchy.path.clone()));
                }
            }
        }
    }
    found
}

pub(crate) fn is_bind(mount: &Mount) -> bool {
    mount.fstype == "bind"
        || mount.options.iter().any(|option| option == "bind" || option == "rbind")
}

/// How CRIU is started.
pub(crate) struct Launch<'a> {
    /// Folders that are open there under the same numbers.
    pub(crate) folders: [Inherited; 2],
    /// Other descriptors that are.
    pub(crate) others: &'a [BorrowedFd<'a>],
    /// Its stdin, stdout and stderr, which a restored process may take over.
    pub(crate) stdio: Stdio,
}

/// A running CRIU.
pub(crate) struct Criu {
    socket: OwnedFd,
    process: OwnedFd,
    pub(crate) pid: i32,
    /// A process without which it cannot go on.
    init: RefCell<Option<OwnedFd>>,
}

impl Criu {
    /// Starts it, in a mount namespace of its own in which `mount` is called first.
    pub(crate) fn start(
        launch: Launch<'_>,
        mount: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let program = find().ok_or(Error::NoCriu)?;
        let (ours, theirs) = pair().map_err(refused("make a socket pair"))?;
        match clone3(NamespaceFlags::MOUNT, None).map_err(refused("clone a process for criu"))? {
            Cloned::Parent { pid, pidfd } => {
                drop((theirs, launch));
                let failure = match handshake::hear(&ours) {
                    Ok(Report::Ready(Some(socket))) => {
                        return Ok(Self { socket, process: pidfd, pid, init: RefCell::default() });
                    }
                    Ok(Report::Failed { message, .. }) => Error::Criu(message),
                    Ok(_) => Error::Criu("it could not be started".to_owned()),
                    Err(error) => error,
                };
                let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
                Err(failure)
            }
            Cloned::Child => {
                drop(ours);
                let Err(error) = become_criu(&program, &theirs, launch, mount);
                handshake::send_failure(theirs.as_fd(), &error);
                kernel_sys::exit_now(1)
            }
        }
    }

    /// Gives it up when this process ends: CRIU is not told of the end of what it has restored, which is
    /// another's child, and would wait for it for ever.
    pub(crate) fn watch(&self, init: Option<OwnedFd>) {
        *self.init.borrow_mut() = init;
    }

    /// Asks for something and answers every step with `at`, until it is done; the last answer.
    pub(crate) fn ask(
        &self,
        kind: Kind,
        options: &Message,
        mut at: impl FnMut(&Answer, Vec<OwnedFd>) -> Result<(), Error>,
    ) -> Result<Answer, Error> {
        let mut request = Message::default();
        request.number(1, kind as i32).message(2, options);
        self.send(&request)?;
        let mut buffer = vec![0; MAX_ANSWER];
        loop {
            let (length, descriptors) = self.hear(&mut buffer)?;
            if length == 0 {
                return Err(Error::Criu("it ended without an answer".to_owned()));
            }
            let answer = Answer::read(&buffer[..length])
                .map_err(|error| Error::Criu(format!("an answer that cannot be read: {error}")))?;
            if answer.kind != Kind::Notify as i32 {
                return Ok(answer);
            }
            at(&answer, descriptors)?;
            let mut done = Message::default();
            done.number(1, Kind::Notify as i32).flag(3, true);
            self.send(&done)?;
        }
    }

    /// Its next word; nothing when it has ended. What it has made of the container has its end of the
    /// socket, too, so that the socket alone does not tell.
    fn hear(&self, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Error> {
        let init = self.init.borrow();
        let ends = [&self.socket, &self.process].into_iter().chain(init.as_ref());
        let mut ready: Vec<_> = ends.map(|end| PollFd::new(end, PollFlags::IN)).collect();
        rustix::io::retry_on_intr(|| poll(&mut ready, None)).map_err(refused("wait for criu"))?;
        if ready[0].revents().is_empty() {
            let _ = signals::send(self.process.as_fd(), SIGKILL);
            return Ok((0, Vec::new()));
        }
        kernel_sys::message::receive(&self.socket, buffer).map_err(refused("hear from criu"))
    }

    fn send(&self, message: &Message) -> Result<(), Error> {
        kernel_sys::message::send(&self.socket, message.as_bytes(), &[])
            .map_err(refused("speak to criu"))
    }
}

impl Drop for Criu {
    /// It ends when nobody speaks to it any more; what it was at is given up.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        let _ = waitid(WaitId::PidFd(self.process.as_fd()), WaitIdOptions::EXITED);
    }
}

/// Where the program is.
fn find() -> Option<CString> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("criu"))
        .find(|file| accessat(CWD, file, Access::EXEC_OK, AtFlags::empty()).is_ok())
        .and_then(|file| CString::new(file.as_os_str().as_bytes()).ok())
}

fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// CRIU looks for the descriptors that it is told of in the process that made its socket, and must not
/// find folders of another mount namespace: so that is this one, which hands `parent` the other end.
fn become_criu(
    program: &CString,
    parent: &OwnedFd,
    launch: Launch<'_>,
    mount: impl FnOnce() -> Result<(), Error>,
) -> Result<std::convert::Infallible, Error> {
    signals::reset();
    // What is mounted here stays here.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(refused("make mounts private"))?;
    mount()?;
    for Inherited { mut opened, path } in launch.folders {
        let again = open_folder(&path).map_err(refused(format!("open {}", path.display())))?;
        rustix::io::dup2(again, &mut opened).map_err(refused("hand a folder to criu"))?;
        // Open for CRIU: it is not closed here any more.
        let _ = opened.into_raw_fd();
    }
    let (socket, other_end) = pair().map_err(refused("make a socket pair"))?;
    for descriptor in launch.others.iter().copied().chain([socket.as_fd()]) {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())
            .map_err(refused("hand a descriptor to criu"))?;
    }
    install_stdio(launch.stdio)?;
    let words = ["criu".to_owned(), "swrk".to_owned(), socket.as_raw_fd().to_string()];
    let args: Vec<CString> = words.into_iter().filter_map(|word| CString::new(word).ok()).collect();
    let env: Vec<CString> = std::env::vars_os()
        .filter_map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            CString::new(name.as_bytes()).ok()
        })
        .collect();
    handshake::send_ready(parent.as_fd(), Some(other_end.as_fd()))
        .map_err(refused("hand over criu's socket"))?;
    drop(other_end);
    let Err(errno) = kernel_sys::execve(program, &args, &env);
    Err(refused(format!("start {}", program.to_string_lossy()))(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crius_configuration_is_runcs_unless_an_annotation_names_another_or_none() {
        let mut spec = Spec::default();
        assert_eq!(configuration(&spec), Some("/etc/criu/runc.conf"));
        for (name, file) in [("/x", Some("/x")), ("", None)] {
            spec.annotations.insert(CONFIGURATION.to_owned(), name.to_owned());
            assert_eq!(configuration(&spec), file);
        }
    }
}
