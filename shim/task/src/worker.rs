//! Workers: forked copies of the shim that call the runtime, so that a hang or crash there never
//! takes the shim.
//!
//! A worker sends one datagram with the result and the descriptors that came of it, and exits. The
//! processes that it made become children of the shim, which is a subreaper.

use crate::error::TaskError;
use crate::reactor::{Reactor, Source, Watched};
use base_errors::Kind;
use kernel_sys::{CloneFlags, Cloned, clone3, close_all_but, exit_now, message, signals};
use prost::Message;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Longest error text of a worker.
const MAX_TEXT: usize = 16 << 10;
/// Longest answer for the caller; the kernel takes datagrams of about 200 KiB
/// (`net.core.wmem_default`).
const MAX_PAYLOAD: usize = 160 << 10;
/// Longest datagram of a worker.
const MAX_DATAGRAM: usize = MAX_PAYLOAD + MAX_TEXT;

/// What a worker made.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// A new process; 0 for none.
    pub(crate) pid: i32,
    pub(crate) pidfd: Option<OwnedFd>,
    /// A terminal's master.
    pub(crate) console: Option<OwnedFd>,
    /// A container's namespaces.
    pub(crate) namespaces: Vec<OwnedFd>,
    /// Its start is more than letting init go on: it takes a worker.
    pub(crate) waits_at_start: bool,
    /// The container has no pid namespace of its own: its processes survive its init.
    pub(crate) shares_pids: bool,
    /// What was left out, for the worker's log.
    pub(crate) warning: Option<String>,
    /// An encoded answer for the caller.
    pub(crate) payload: Vec<u8>,
}

/// A runtime's refusal or failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Failure {
    /// A failed step of the worker's own.
    pub(crate) fn from_io(step: &str, error: &io::Error) -> Self {
        Self { kind: Kind::from_io(error), text: format!("{step}: {error}") }
    }

    /// That of a worker that was killed.
    pub(crate) fn died() -> Self {
        let text = "the runtime's worker died without an answer".to_owned();
        Self { kind: Kind::Internal, text }
    }

    /// As an answer, with the operation in front.
    pub(crate) fn into_error(self, context: &'static str) -> TaskError {
        TaskError::Runtime { context, kind: self.kind, text: self.text }
    }
}

/// The datagram.
#[derive(Clone, PartialEq, Eq, Message)]
struct Outcome {
    /// gRPC status code; 0 for success.
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(int32, tag = "3")]
    pid: i32,
    /// Which descriptors come with it, in this order.
    #[prost(bool, tag = "4")]
    pidfd: bool,
    #[prost(bool, tag = "5")]
    console: bool,
    #[prost(bool, tag = "6")]
    waits_at_start: bool,
    #[prost(bool, tag = "7")]
    shares_pids: bool,
    #[prost(bytes = "vec", tag = "8")]
    payload: Vec<u8>,
    /// Always set: an empty datagram would look like the end of the conversation.
    #[prost(bool, tag = "9")]
    answered: bool,
}

/// A worker at work.
#[derive(Debug)]
pub(crate) struct Worker {
    socket: Watched,
}

impl Worker {
    /// Forks, and runs `job` in the child, which keeps the descriptors of `keep` only: a worker
    /// must not hold a caller's connection or a pipe open beyond the shim's own closing.
    pub(crate) fn launch(
        reactor: &Reactor,
        number: u32,
        mut keep: Vec<RawFd>,
        job: impl FnOnce() -> Result<Made, Failure>,
    ) -> Result<Self, TaskError> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(TaskError::system("make a worker's socket"))?;
        let shim = getpid();
        match clone3(CloneFlags::EMPTY, None).map_err(TaskError::system("fork a worker"))? {
            Cloned::Child => {
                die_with(shim);
                keep.push(theirs.as_raw_fd());
                run(&theirs, &keep, job)
            }
            Cloned::Parent { .. } => {
                let socket = reactor.watch(ours, Source::Worker(number), EventFlags::IN);
                Ok(Self { socket })
            }
        }
    }

    /// Takes the result; to be called when the socket is ready. Nothing from a worker that died.
    pub(crate) fn collect(self) -> Option<Result<Made, Failure>> {
        // Looks how long it is first: a buffer for the longest would stay in the shim's memory.
        let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
        let (_, length) = rustix::net::recv(&self.socket, &mut [0_u8; 0], flags).ok()?;
        let mut buffer = vec![0; length.min(MAX_DATAGRAM)];
        let (length, descriptors) = message::receive(&self.socket, &mut buffer).ok()?;
        if length == 0 {
            return None;
        }
        let outcome = Outcome::decode(&buffer[..length]).ok()?;
        if outcome.code != 0 {
            let kind = Kind::from_grpc_code(outcome.code);
            return Some(Err(Failure { kind, text: outcome.text }));
        }
        let mut descriptors = descriptors.into_iter();
        Some(Ok(Made {
            pid: outcome.pid,
            pidfd: outcome.pidfd.then(|| descriptors.next()).flatten(),
            console: outcome.console.then(|| descriptors.next()).flatten(),
            namespaces: descriptors.collect(),
            waits_at_start: outcome.waits_at_start,
            shares_pids: outcome.shares_pids,
            payload: outcome.payload,
            // It has told it itself.
            warning: None,
        }))
    }
}

/// A dead shim's worker must not go on making a container that the `delete` action has already
/// looked for.
fn die_with(shim: Pid) {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid() != Some(shim) {
        exit_now(1);
    }
}

/// The child: never returns into the event loop.
fn run(socket: &OwnedFd, keep: &[RawFd], job: impl FnOnce() -> Result<Made, Failure>) -> ! {
    signals::reset();
    // A kernel without close_range (before 5.9) only costs tidiness here.
    let _ = close_all_but(keep);
    let result = catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| {
        Err(Failure { kind: Kind::Internal, text: "the runtime panicked".to_owned() })
    });
    let result = result.and_then(|made| {
        if made.payload.len() <= MAX_PAYLOAD {
            return Ok(made);
        }
        let text = format!("the runtime's answer has {} bytes", made.payload.len());
        Err(Failure { kind: Kind::ResourceExhausted, text })
    });
    let made = result.as_ref().ok();
    let outcome = match &result {
        Ok(made) => Outcome {
            pid: made.pid,
            pidfd: made.pidfd.is_some(),
            console: made.console.is_some(),
            waits_at_start: made.waits_at_start,
            shares_pids: made.shares_pids,
            payload: made.payload.clone(),
            answered: true,
            ..Outcome::default()
        },
        Err(failure) => Outcome {
            code: failure.kind.grpc_code(),
            answered: true,
            text: failure.text.chars().take(MAX_TEXT / 4).collect(),
            ..Outcome::default()
        },
    };
    let descriptors: Vec<_> = made
        .into_iter()
        .flat_map(|made| made.pidfd.iter().chain(&made.console).chain(&made.namespaces))
        .map(AsFd::as_fd)
        .collect();
    let sent = message::send(socket, &outcome.encode_to_vec(), &descriptors);
    exit_now(i32::from(sent.is_err()))
}
