//! Waiting for a process: its exit code, signals for it, its terminal's bytes.

use crate::arguments::Flags;
use crate::failure::Failure;
use kernel_sys::signals;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::os::fd::{AsFd, OwnedFd};

const SIGCHLD: i32 = 17;
const SIGURG: i32 = 23;
const SIGWINCH: i32 = 28;

/// Takes over all signals, so that none is lost between here and [`Foreground::wait`].
pub(crate) struct Foreground {
    signals: OwnedFd,
}

impl Foreground {
    /// Takes over; before the process is made.
    pub(crate) fn take_over() -> Result<Self, Failure> {
        let signals = signals::take_all()
            .map_err(|errno| Failure::Other(format!("take over signals: {errno}")))?;
        Ok(Self { signals })
    }

    /// As [`Self::take_over`], for a command that waits for a container unless it is to be detached;
    /// such a one adopts the container's orphans, too.
    pub(crate) fn for_container(is_detached: bool, flags: &Flags) -> Result<Option<Self>, Failure> {
        if is_detached {
            return Ok(None);
        }
        if !flags.has("no-subreaper") {
            let own = Some(rustix::process::getpid());
            let _ = rustix::process::set_child_subreaper(own);
        }
        Self::take_over().map(Some)
    }

    /// Waits for the process' end; its exit code, 128 and the signal's number where one ended it.
    pub(crate) fn wait(
        &self,
        pid: i32,
        pidfd: &OwnedFd,
        console: Option<OwnedFd>,
    ) -> Result<u8, Failure> {
        let terminal = console.map(Terminal::open);
        let mut open = Open { input: true, output: true };
        loop {
            if let Some(terminal) = &terminal
                && !terminal.pass_on(&self.signals, &mut open)?
            {
                continue;
            }
            match signals::next(&self.signals) {
                Ok(SIGCHLD) => {
                    if let Some(code) = reap(pid) {
                        if let Some(terminal) = terminal {
                            terminal.drain();
                        }
                        return Ok(code);
                    }
                }
                Ok(SIGWINCH) => {
                    if let Some(terminal) = &terminal {
                        terminal.resize();
                    }
                }
                // The Go scheduler's own signal, of which callers written in Go send many.
                Ok(SIGURG) => {}
                Ok(number) => {
                    let _ = signals::send(pidfd.as_fd(), number);
                }
                Err(errno) => return Err(Failure::Other(format!("read signals: {errno}"))),
            }
        }
    }
}

/// Reaps whatever has ended; the exit code if the process was among it.
fn reap(wanted: i32) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if Some(pid) == Pid::from_raw(wanted) {
            code = Some(exit_code(status));
        }
    }
    code
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    u8::try_from(code).unwrap_or(255)
}

/// Copies what can be read now; whether there may be more. Its buffer is on the stack of nobody who
/// has no terminal.
#[inline(never)]
fn copy_once(from: impl AsFd, to: impl AsFd) -> bool {
    let mut buffer = [0_u8; 32 * 1024];
    let Ok(length) = rustix::io::retry_on_intr(|| rustix::io::read(&from, &mut buffer)) else {
        return false;
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(&to, rest)) {
            Ok(written) => rest = &rest[written..],
            Err(_) => return false,
        }
    }
    length > 0
}

/// Which directions of a terminal's bytes are open.
struct Open {
    input: bool,
    output: bool,
}

/// The caller's terminal in raw mode, and the master of the container's.
struct Terminal {
    master: OwnedFd,
    before: Option<Termios>,
}

impl Terminal {
    fn open(master: OwnedFd) -> Self {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(stdin, OptionalActions::Now, &raw);
        }
        let terminal = Self { master, before };
        terminal.resize();
        terminal
    }

    /// Waits for a byte of either side, or a signal, and passes bytes on. Whether there is a signal.
    /// A side that has ended is looked at no more: it would be ready for ever.
    fn pass_on(&self, signals: &OwnedFd, open: &mut Open) -> Result<bool, Failure> {
        let stdin = rustix::stdio::stdin();
        let mut watched = vec![PollFd::new(signals, PollFlags::IN)];
        if open.output {
            watched.push(PollFd::new(&self.master, PollFlags::IN));
        }
        if open.input {
            watched.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        match poll(&mut watched, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::Other(format!("poll: {errno}"))),
        }
        let mut ready = watched.iter().map(|entry| !entry.revents().is_empty());
        let signal = ready.next() == Some(true);
        let output = open.output && ready.next() == Some(true);
        let input = open.input && ready.next() == Some(true);
        if input {
            open.input = copy_once(stdin, &self.master);
        }
        if output {
            open.output = copy_once(&self.master, rustix::stdio::stdout());
        }
        Ok(signal)
    }

    fn resize(&self) {
        if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    /// Copies what the program wrote last.
    fn drain(self) {
        let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        while poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0)
            && ready[0].revents().contains(PollFlags::IN)
            && copy_once(&self.master, rustix::stdio::stdout())
        {}
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}
