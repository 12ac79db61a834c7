//! What a container's first process and its parent say to each other.
//!
//! ```text
//!   parent                                  child
//!     │ clone3 ───────────────────────────────▶│
//!     │ user and group maps                    │ (with a user namespace it waits for this)
//!     │ ── Mapped ────────────────────────────▶│ joins namespaces, mounts
//!     │ cgroup folders                         │ (a mount that shows cgroups waits for this)
//!     │ ── CgroupsMade ───────────────────────▶│
//!     │ limits, attach                         │
//!     │ compiles the filter                    │
//!     │ ── its length, the filter ────────────▶│ (if there is one)
//!     │ ── Attached ──────────────────────────▶│ (nothing of the container's runs before this)
//!     │◀──────────────────── Hooks, if any ────│ everything is mounted
//!     │ createRuntime hooks                    │
//!     │ ── HooksDone ─────────────────────────▶│ pivots, confines itself, finds the program
//!     │◀──── Ready, with the terminal's master │ waits to be started
//!     │                  or  Failed(text) ─────│ exits
//! ```
//!
//! One that starts at once does not wait there, but for what its caller is to have before:
//!
//! ```text
//!     │ pid file, console socket               │
//!     │ ── HandedOut, if there are any ───────▶│ executes the program, which closes the socket
//!     │                  or  Failed(text) ─────│ exits
//! ```
//!
//! The socket is a `SOCK_SEQPACKET` pair: one datagram a message, and when either side dies the
//! other reads zero bytes. A parent's death before the child has said `Ready` ends the child, also
//! one that hangs in a mount or a hook ([`ChildEnd::follow`]).
//!
//! Later, whoever starts the process (or executes a further one) hears of its filter's listener:
//!
//! ```text
//!     │◀───────────────────── Listener(number) │ has installed its filter
//!     │ takes a copy, sends it to the listener │
//!     │ ── one byte ──────────────────────────▶│ executes the program
//! ```

use crate::error::{Error, refused};
use base_errors::Kind;
use kernel_sys::message;
use runtime_confine::seccomp::Filter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How far the parent has come; later ones include the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Progress {
    /// The child exists.
    Cloned = 0,
    /// The user namespace's maps are written.
    Mapped = 1,
    /// The cgroup's folders exist.
    CgroupsMade = 2,
    /// The child is in its cgroup, under its limits.
    Attached = 3,
    /// The runtime's hooks have run.
    HooksDone = 4,
    /// Its caller has what it wanted of it.
    HandedOut = 5,
}

const HOOKS: u8 = b'H';
const READY: u8 = b'R';
const FAILED: u8 = b'F';
const CLONED: u8 = b'C';
const LISTENER: u8 = b'L';
const FILTER: u8 = b'B';
/// Longest failure text that is passed on.
const MAX_MESSAGE: usize = 4096;

/// What the child says.
#[derive(Debug)]
pub(crate) enum Report {
    /// Run the hooks now.
    Hooks,
    /// It waits to be started; with its terminal's master, if it has one.
    Ready(Option<OwnedFd>),
    /// From one that only clones: the container's first process.
    Cloned(i32, OwnedFd),
    /// Its filter's notification descriptor has this number.
    Listener(i32),
    /// It gave up.
    Failed {
        /// Why.
        message: String,
        /// Of which kind that is.
        kind: Kind,
    },
    /// It died without a word.
    Died,
}

/// The two ends of a conversation.
pub(crate) fn pair() -> Result<(ParentEnd, ChildEnd), Error> {
    let (parent, child) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(refused("make a socket pair"))?;
    Ok((ParentEnd(parent), ChildEnd { socket: child, reached: Progress::Cloned, filter: None }))
}

/// The parent's end.
#[derive(Debug)]
pub(crate) struct ParentEnd(OwnedFd);

impl ParentEnd {
    /// Tells the child how far things are. A dead child is noticed at the next [`Self::receive`].
    pub(crate) fn tell(&self, progress: Progress) {
        let _ = message::send(&self.0, &[progress as u8], &[]);
    }

    /// Sends the child its filter, before it is told that it is [`Progress::Attached`].
    pub(crate) fn give_filter(&self, filter: &[u8]) {
        let length = u32::try_from(filter.len()).unwrap_or(0).to_ne_bytes();
        let [a, b, c, d] = length;
        let _ = message::send(&self.0, &[FILTER, a, b, c, d], &[]);
        let _ = message::send(&self.0, filter, &[]);
    }

    /// Waits for the child's next word.
    pub(crate) fn receive(&self) -> Result<Report, Error> {
        hear(&self.0)
    }
}

/// Waits for the next word on a socket.
pub(crate) fn hear(socket: impl AsFd) -> Result<Report, Error> {
    let mut buffer = [0_u8; MAX_MESSAGE + 2];
    let received = match message::receive(&socket, &mut buffer) {
        // It ended before it read all that it was told (unix(7)); its last word comes after.
        Err(rustix::io::Errno::CONNRESET) => message::receive(&socket, &mut buffer),
        result => result,
    };
    let (length, descriptors) =
        received.map_err(refused("hear from the container's first process"))?;
    Ok(match buffer[..length] {
        [HOOKS, ..] => Report::Hooks,
        [READY, ..] => Report::Ready(descriptors.into_iter().next()),
        [CLONED, ref pid @ ..] => match (number(pid), descriptors.into_iter().next()) {
            (Some(pid), Some(pidfd)) => Report::Cloned(pid, pidfd),
            _ => Report::Died,
        },
        [LISTENER, ref descriptor @ ..] => {
            number(descriptor).map_or(Report::Died, Report::Listener)
        }
        [FAILED, kind, ref text @ ..] => Report::Failed {
            message: String::from_utf8_lossy(text).into_owned(),
            kind: Kind::from_grpc_code(i32::from(kind)),
        },
        _ => Report::Died,
    })
}

fn number(bytes: &[u8]) -> Option<i32> {
    bytes.try_into().ok().map(i32::from_ne_bytes)
}

/// The child's end.
#[derive(Debug)]
pub(crate) struct ChildEnd {
    socket: OwnedFd,
    reached: Progress,
    filter: Option<Vec<u8>>,
}

impl AsFd for ParentEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<ChildEnd> for OwnedFd {
    fn from(end: ChildEnd) -> Self {
        end.socket
    }
}

impl AsFd for ChildEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl ChildEnd {
    /// Has the kernel end this process when its parent dies, whatever it is at, until it says that
    /// it is ready. A change of ids undoes it (`PR_SET_PDEATHSIG(2const)`).
    pub(crate) fn follow(&self) -> Result<(), Error> {
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(refused("follow the parent"))?;
        // It may have died before.
        let mut parent = [PollFd::new(&self.socket, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut parent, Some(&now)).is_ok_and(|gone| gone > 0) {
            kernel_sys::exit_now(1);
        }
        Ok(())
    }

    /// Waits until the parent has come this far; ends this process when the parent is gone.
    pub(crate) fn wait_for(&mut self, progress: Progress) {
        while self.reached < progress {
            let mut word = [0_u8; 5];
            match message::receive(&self.socket, &mut word) {
                Ok((5, _)) if word[0] == FILTER => self.filter = Some(self.filter_of(word)),
                Ok((1, _)) => {
                    self.reached = match word[0] {
                        1 => Progress::Mapped,
                        2 => Progress::CgroupsMade,
                        3 => Progress::Attached,
                        4 => Progress::HooksDone,
                        5 => Progress::HandedOut,
                        _ => self.reached,
                    }
                }
                // Nobody is left who could be told anything.
                _ => kernel_sys::exit_now(1),
            }
        }
    }

    /// The filter, which comes before [`Progress::Attached`] if there is one.
    pub(crate) fn take_filter(&mut self) -> Option<Filter> {
        self.filter.take().as_deref().and_then(Filter::from_bytes)
    }

    /// Receives the filter that was announced; ends this process when it does not come whole.
    fn filter_of(&self, [_, a, b, c, d]: [u8; 5]) -> Vec<u8> {
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let mut filter = vec![0; length];
        match message::receive(&self.socket, &mut filter) {
            Ok((received, _)) if received == length => filter,
            _ => kernel_sys::exit_now(1),
        }
    }

    /// Asks for the hooks and waits until they have run.
    pub(crate) fn hooks(&mut self) {
        let _ = message::send(&self.socket, &[HOOKS], &[]);
        self.wait_for(Progress::HooksDone);
    }

    /// Says that all is ready; ends this process when nobody hears it.
    pub(crate) fn ready(&self, console: Option<BorrowedFd<'_>>) {
        let stays = set_parent_process_death_signal(None);
        if stays.is_err() || send_ready(self.socket.as_fd(), console).is_err() {
            kernel_sys::exit_now(1);
        }
    }

    /// Says why there will be no container.
    pub(crate) fn failed(&self, error: &Error) {
        send_failure(self.socket.as_fd(), error);
    }
}

/// Says that all is ready, with what the parent is to have of it.
pub(crate) fn send_ready(
    socket: BorrowedFd<'_>,
    descriptor: Option<BorrowedFd<'_>>,
) -> rustix::io::Result<()> {
    message::send(socket, &[READY], descriptor.as_slice())
}

/// Sends a failure: also the form in which a started process reports one to `start`.
pub(crate) fn send_failure(socket: BorrowedFd<'_>, error: &Error) {
    use base_errors::Classify as _;
    let text = error.message();
    let mut bytes = vec![FAILED, u8::try_from(error.kind().grpc_code()).unwrap_or(13)];
    bytes.extend(text.as_bytes().iter().take(MAX_MESSAGE));
    let _ = message::send(socket, &bytes, &[]);
}

/// Says which process was cloned.
pub(crate) fn send_cloned(socket: &OwnedFd, pid: i32, pidfd: BorrowedFd<'_>) {
    let [a, b, c, d] = pid.to_ne_bytes();
    let _ = message::send(socket, &[CLONED, a, b, c, d], &[pidfd]);
}

/// Tells of the listener's descriptor and waits until it was taken; ends this process when nobody
/// takes it. The filter is in force: `write(2)` and `read(2)` are all that is called.
pub(crate) fn offer_listener(socket: BorrowedFd<'_>, descriptor: &OwnedFd) {
    let [a, b, c, d] = descriptor.as_raw_fd().to_ne_bytes();
    let told = rustix::io::write(socket, &[LISTENER, a, b, c, d]);
    let answered = told.and_then(|_| rustix::io::read(socket, &mut [0_u8; 1]));
    if answered != Ok(1) {
        kernel_sys::exit_now(1);
    }
}

/// Answers [`offer_listener`].
pub(crate) fn listener_is_taken(socket: BorrowedFd<'_>) -> Result<(), Error> {
    message::send(socket, &[LISTENER], &[]).map_err(refused("let the process go on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_arrives_with_its_kind_and_a_dead_child_is_noticed() {
        let (parent, child) = pair().unwrap();
        child.failed(&Error::AlreadyExists);
        let Report::Failed { message, kind } = parent.receive().unwrap() else {
            panic!("not a failure");
        };
        assert_eq!(
            (message.as_str(), kind),
            (Error::AlreadyExists.to_string().as_str(), Kind::AlreadyExists)
        );
        drop(child);
        assert!(matches!(parent.receive().unwrap(), Report::Died));
    }

    #[test]
    fn a_listener_is_told_by_number_and_waits_for_an_answer() {
        let (parent, child) = pair().unwrap();
        let descriptor = child.socket.try_clone().unwrap();
        listener_is_taken(parent.as_fd()).unwrap();
        offer_listener(child.as_fd(), &descriptor);
        let Report::Listener(number) = parent.receive().unwrap() else { panic!("no listener") };
        assert_eq!(number, descriptor.as_raw_fd());
    }

    #[test]
    fn the_last_word_of_a_child_that_did_not_listen_is_heard() {
        let (parent, child) = pair().unwrap();
        parent.tell(Progress::Mapped);
        child.failed(&Error::AlreadyExists);
        drop(child);
        assert!(matches!(parent.receive().unwrap(), Report::Failed { .. }));
    }

    #[test]
    fn a_filter_comes_whole_and_before_what_follows_it() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;
        let profile = serde_json::from_str(text).unwrap();
        let filter = runtime_confine::seccomp::compile(&profile).unwrap();
        let (parent, mut child) = pair().unwrap();
        parent.tell(Progress::CgroupsMade);
        parent.give_filter(&filter.to_bytes());
        parent.tell(Progress::Attached);
        child.wait_for(Progress::Attached);
        assert_eq!(child.take_filter(), Some(filter));
        assert_eq!(child.take_filter(), None);
    }

    #[test]
    fn progress_that_was_told_early_is_not_waited_for() {
        let (parent, mut child) = pair().unwrap();
        parent.tell(Progress::Mapped);
        parent.tell(Progress::CgroupsMade);
        parent.tell(Progress::Attached);
        child.wait_for(Progress::CgroupsMade);
        child.wait_for(Progress::Attached);
        child.wait_for(Progress::Mapped);
    }
}
