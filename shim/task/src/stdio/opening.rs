//! Opens a process' stdio, ours and the process' side of it.

use super::Stdio;
use super::destination::Destination;
use super::log::Log;
use super::logger::Logger;
use super::stdin::Fifo;
use crate::error::TaskError;
use crate::reactor::{Channel, Reactor, Source};
use contracts_shim_api::stdio::StdioUri;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::pipe::PipeFlags;
use std::path::Path;

/// Size asked for the pipes of a process whose log we write: the more a pipe holds, the fewer
/// wake-ups 100 MB cost. The kernel may refuse (pipe(7), `pipe-user-pages-soft`).
const PIPE: usize = 1 << 20;

/// Whose pipes are: a container's root user, where that is not the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What a worker starts the process with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) theirs: runtime_container::Stdio,
    /// A logging program to be started first.
    pub(crate) logger: Option<Logger>,
}

impl Opened {
    /// The descriptors in it.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let mut all: Vec<RawFd> = match &self.theirs {
            runtime_container::Stdio::Descriptors { stdin, stdout, stderr } => {
                [stdin, stdout, stderr].map(AsRawFd::as_raw_fd).to_vec()
            }
            _ => Vec::new(),
        };
        all.extend(self.logger.iter().flat_map(Logger::descriptors));
        all
    }

    /// The same once more, for a start that may fail; the logging program is started but once.
    pub(crate) fn again(&mut self) -> Result<Self, TaskError> {
        let copy = |fd: &OwnedFd| {
            rustix::io::fcntl_dupfd_cloexec(fd, 3)
                .map_err(TaskError::system("copy the process' stdio"))
        };
        let theirs = match &self.theirs {
            runtime_container::Stdio::Descriptors { stdin, stdout, stderr } => {
                runtime_container::Stdio::Descriptors {
                    stdin: copy(stdin)?,
                    stdout: copy(stdout)?,
                    stderr: copy(stderr)?,
                }
            }
            runtime_container::Stdio::Terminal => runtime_container::Stdio::Terminal,
            runtime_container::Stdio::Inherit => runtime_container::Stdio::Inherit,
        };
        Ok(Self { theirs, logger: self.logger.take() })
    }
}

impl Stdio {
    /// Opens everything, and gives what the process is started with.
    pub(crate) fn open(&mut self, reactor: &Reactor, owner: Owner) -> Result<Opened, TaskError> {
        if let StdioUri::Gantry(stdio) = &self.parsed[1] {
            self.log = Log::open(stdio).map_err(|source| TaskError::Open {
                path: stdio.log.clone().unwrap_or_default(),
                source,
            })?;
        }
        for stream in 0..2 {
            if let StdioUri::Fifo(path) | StdioUri::File(path) = &self.parsed[stream + 1] {
                let destination = Destination::open(reactor, self.process, stream, path)?;
                self.outputs[stream].destination = Some(destination);
            }
        }
        if let StdioUri::Fifo(path) = &self.parsed[0] {
            self.stdin.fifo = Some(open_stdin_fifo(reactor, self.process, path)?);
        }
        let (logger, writers) = self.logging_program()?;
        if self.uris.terminal {
            if let Some([stdout, _]) = writers {
                // The terminal is copied to the program as to a fifo.
                non_blocking(&stdout)?;
                let destination = Destination::new(reactor, self.process, 0, stdout);
                self.outputs[0].destination = Some(destination);
            }
            return Ok(Opened { theirs: runtime_container::Stdio::Terminal, logger });
        }
        let stdin = self.input_pipe(reactor)?;
        let [stdout, stderr] = match writers {
            Some(writers) => writers,
            None => [self.output_pipe(reactor, 0)?, self.output_pipe(reactor, 1)?],
        };
        if owner != Owner::default() {
            for fd in [&stdin, &stdout, &stderr] {
                // Ours, not the null device, which everybody may open anyway.
                if is_pipe(fd) {
                    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
                    rustix::fs::fchown(fd, Some(uid), Some(gid))
                        .map_err(TaskError::system("give a pipe to its user"))?;
                }
            }
        }
        let theirs = runtime_container::Stdio::Descriptors { stdin, stdout, stderr };
        Ok(Opened { theirs, logger })
    }

    /// The program that the URI of stdout names, with pipes of its own: their writing ends are
    /// for the process, so that its output does not pass through here.
    fn logging_program(&self) -> Result<(Option<Logger>, Option<[OwnedFd; 2]>), TaskError> {
        let StdioUri::Binary { path, arguments } = &self.parsed[1] else {
            return Ok((None, None));
        };
        let ((stdout, stdout_writer), (stderr, stderr_writer)) = (pipe()?, pipe()?);
        let logger = Logger::new(path, arguments, stdout, stderr);
        Ok((Some(logger), Some([stdout_writer, stderr_writer])))
    }

    /// The process' end of its input.
    fn input_pipe(&mut self, reactor: &Reactor) -> Result<OwnedFd, TaskError> {
        if self.parsed[0] == StdioUri::Null {
            return null_device();
        }
        let (theirs, ours) = pipe()?;
        non_blocking(&ours)?;
        self.stdin.connect(reactor, self.process, ours);
        self.stdin.rearm();
        Ok(theirs)
    }

    /// The process' end of an output stream.
    fn output_pipe(&mut self, reactor: &Reactor, stream: usize) -> Result<OwnedFd, TaskError> {
        if self.parsed[stream + 1] == StdioUri::Null {
            return null_device();
        }
        let (ours, theirs) = pipe()?;
        non_blocking(&ours)?;
        if matches!(self.parsed[stream + 1], StdioUri::Gantry(_)) {
            let _ = rustix::pipe::fcntl_setpipe_size(&ours, PIPE);
        }
        let source = Source::Stdio(self.process, Channel::Output(stream as u8));
        self.outputs[stream].source = Some(reactor.watch(ours, source, EventFlags::IN));
        Ok(theirs)
    }

    /// The process has a terminal: this is its master.
    pub(crate) fn connect_console(
        &mut self,
        reactor: &Reactor,
        console: &OwnedFd,
    ) -> Result<(), TaskError> {
        // Two copies, because epoll takes a descriptor once only.
        let copy = || rustix::io::fcntl_dupfd_cloexec(console, 3);
        let output = copy().map_err(TaskError::system("copy the terminal"))?;
        let input = copy().map_err(TaskError::system("copy the terminal"))?;
        non_blocking(&output)?;
        let source = Source::Stdio(self.process, Channel::Output(0));
        self.outputs[0].source = Some(reactor.watch(output, source, EventFlags::IN));
        if self.parsed[0] != StdioUri::Null {
            self.stdin.connect(reactor, self.process, input);
            self.stdin.rearm();
        }
        Ok(())
    }
}

fn is_pipe(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

fn open_stdin_fifo(reactor: &Reactor, process: u32, path: &Path) -> Result<Fifo, TaskError> {
    let open = |access: OFlags| {
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| TaskError::Open { path: path.into(), source: errno.into() })
    };
    let reader = open(OFlags::RDONLY)?;
    // Succeeds at once, as there is a reader now.
    let keeper = Some(open(OFlags::WRONLY)?);
    let source = Source::Stdio(process, Channel::StdinSource);
    Ok(Fifo { reader: reactor.watch(reader, source, EventFlags::empty()), keeper })
}

fn null_device() -> Result<OwnedFd, TaskError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, Mode::empty())
        .map_err(TaskError::system("open the null device"))
}

/// A pipe, reading end first.
fn pipe() -> Result<(OwnedFd, OwnedFd), TaskError> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(TaskError::system("make a pipe"))
}

/// Our end only: the process may share its own with programs that do not expect `EAGAIN`.
fn non_blocking(fd: impl AsFd) -> Result<(), TaskError> {
    rustix::io::ioctl_fionbio(fd, true).map_err(TaskError::system("make a pipe non-blocking"))
}
