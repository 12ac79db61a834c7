//! A logging program, the `binary://` scheme: it gets the process' stdout and stderr as descriptors
//! 3 and 4, and closes 5 when it is ready (containerd `core/runtime/v2/README.md`, "Logging").
//!
//! It outlives the worker that starts it as a child of the shim, and ends by itself when the
//! process' output ends.

use crate::worker::Failure;
use base_errors::Kind;
use kernel_sys::{CloneFlags, Cloned, clone3, close_all_but, execve, exit_now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::pipe::PipeFlags;
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
        let (ready, ready_writer) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        match clone3(CloneFlags::EMPTY, None).map_err(|errno| failed(errno.into()))? {
            Cloned::Child => {
                let given = [&self.stdout, &self.stderr, &ready_writer];
                if place(given).is_ok() {
                    let _ = execve(&path, &words, &variables);
                }
                exit_now(127)
            }
            Cloned::Parent { .. } => {
                drop(ready_writer);
                wait_until_closed(&ready).map_err(failed)
            }
        }
    }
}

/// Makes these descriptors 3, 4 and 5, and closes everything else above 2.
fn place(given: [&OwnedFd; 3]) -> Result<(), kernel_sys::Errno> {
    let [stdout, stderr, ready] =
        given.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, OUT_OF_THE_WAY));
    let kept = [stdout?, stderr?, ready?];
    close_all_but(&kept.each_ref().map(AsRawFd::as_raw_fd))?;
    for fd in &kept {
        // dup(2) gives the lowest number that is free, and none below these copies is taken.
        std::mem::forget(rustix::io::dup(fd)?);
    }
    Ok(())
}

fn wait_until_closed(ready: &OwnedFd) -> io::Result<()> {
    let mut polled = [PollFd::new(ready, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut polled, Some(&PATIENCE)))? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not become ready"));
    }
    Ok(())
}
