//! A logging program, the `binary://` scheme: it gets the process' stdout and stderr as descriptors
//! 3 and 4, and closes 5 when it is ready (containerd `core/runtime/v2/README.md`, "Logging").
//!
//! It outlives the worker that starts it as a child of the shim, and ends by itself when the
//! process' output ends.

use crate::worker::Failure;
use base_errors::Kind;
use kernel_sys::{CloneFlags, Cloned, Errno, clone3, close_all_but, execve, exit_now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};
use std::ffi::{CString, NulError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How long the program may take until it is ready.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// Descriptors below this are given out to the program.
const OUT_OF_THE_WAY: RawFd = 16;

/// A logging program to be started.
#[derive(Debug)]
pub(crate) struct Logger {
    path: PathBuf,
    arguments: Vec<(String, String)>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Logger {
    pub(crate) fn new(
        path: &Path,
        arguments: &[(String, String)],
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> Self {
        Self { path: path.to_owned(), arguments: arguments.to_vec(), stdout, stderr }
    }

    pub(crate) fn descriptors(&self) -> [RawFd; 2] {
        [self.stdout.as_raw_fd(), self.stderr.as_raw_fd()]
    }

    /// Starts the program, and waits until it is ready. For workers.
    pub(crate) fn run(self, id: &str, namespace: &str) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::from_io("start the logging program", &error);
        let invalid = |_: NulError| Failure {
            kind: Kind::InvalidArgument,
            text: "the logging program's arguments contain a zero byte".to_owned(),
        };
        let path = CString::new(self.path.as_os_str().as_bytes()).map_err(invalid)?;
        let words = self.arguments.iter().flat_map(|(name, value)| {
            [name, value].into_iter().filter(|word| !word.is_empty()).cloned()
        });
        let words = std::iter::once(self.path.to_string_lossy().into_owned()).chain(words);
        let words = words.map(CString::new).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let variables = [format!("CONTAINER_ID={id}"), format!("CONTAINER_NAMESPACE={namespace}")];
        let variables = variables.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        let variables = variables.map_err(invalid)?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()));
        let ((ready, ready_writer), (refusal, refusal_writer)) = (pipe()?, pipe()?);
        match clone3(CloneFlags::EMPTY, None).map_err(|errno| failed(errno.into()))? {
            Cloned::Child => {
                let given = [&self.stdout, &self.stderr, &ready_writer];
                let _ = place(given, &refusal_writer).and_then(|refusal| {
                    let Err(errno) = execve(&path, &words, &variables);
                    rustix::io::write(refusal, &errno.raw_os_error().to_ne_bytes())
                });
                exit_now(127)
            }
            Cloned::Parent { pidfd, .. } => {
                drop((ready_writer, refusal_writer));
                if let Some(error) = refused(&refusal) {
                    return Err(failed(error));
                }
                wait_until_closed(&ready).map_err(|error| {
                    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                    failed(error)
                })
            }
        }
    }
}

/// Makes the first of these descriptors 3, 4 and 5, and closes everything else above 2 but the
/// last, which it gives back.
fn place(given: [&OwnedFd; 3], refusal: &OwnedFd) -> Result<OwnedFd, Errno> {
    let [stdout, stderr, ready] =
        given.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, OUT_OF_THE_WAY));
    let refusal = rustix::io::fcntl_dupfd_cloexec(refusal, OUT_OF_THE_WAY)?;
    let kept = [stdout?, stderr?, ready?];
    let [stdout, stderr, ready] = kept.each_ref().map(AsRawFd::as_raw_fd);
    close_all_but(&[stdout, stderr, ready, refusal.as_raw_fd()])?;
    for fd in &kept {
        // dup(2) gives the lowest number that is free, and none below these copies is taken.
        std::mem::forget(rustix::io::dup(fd)?);
    }
    Ok(refusal)
}

/// Why the program was not executed: its errno comes through this pipe, which execve(2) closes.
fn refused(refusal: &OwnedFd) -> Option<io::Error> {
    let mut errno = [0_u8; 4];
    match rustix::io::retry_on_intr(|| rustix::io::read(refusal, &mut errno)) {
        Ok(4) => Some(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
        _ => None,
    }
}

fn wait_until_closed(ready: &OwnedFd) -> io::Result<()> {
    let mut polled = [PollFd::new(ready, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut polled, Some(&PATIENCE)))? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not become ready"));
    }
    Ok(())
}
