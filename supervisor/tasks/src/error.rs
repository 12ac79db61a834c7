//! What can go wrong with a task.

use base_errors::{Classify, Kind};
use contracts_shim_api::bootstrap::BootstrapError;
use contracts_shim_api::ttrpc::FrameError;
use std::io;
use std::path::PathBuf;

/// Why something could not be done with a task.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("task {0}: not found")]
    NotFound(String),
    /// There is one already.
    #[error("task {0}: already exists")]
    AlreadyExists(String),
    /// Its shim has died, so only its exit status is left.
    #[error("task {0}: its shim is gone")]
    ShimGone(String),
    /// The process has ended; the words are a shim's.
    #[error("process already finished: not found")]
    Finished,
    /// A runtime's name does not lead to a program.
    #[error("invalid runtime name {0:?}: expected io.containerd.NAME.VERSION or an absolute path")]
    RuntimeName(String),
    /// The shim's program is not there.
    #[error(
        "runtime {runtime:?} needs the program {program}, which is neither beside the supervisor \
         nor in PATH"
    )]
    NotInstalled {
        /// The runtime asked for.
        runtime: String,
        /// The program.
        program: String,
    },
    /// A bundle could not be made or removed.
    #[error("{what} {path}")]
    Bundle {
        /// What was done to it.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A later supervisor launched the shim.
    #[error("shim record of version {0}, which only a later supervisor understands")]
    ShimVersion(u32),
    /// The shim's program could not be run.
    #[error("run {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The shim's program failed; what it said is in the supervisor's log.
    #[error("{program} {action} failed ({status}): {output}")]
    Action {
        /// The program.
        program: PathBuf,
        /// `start` or `delete`.
        action: &'static str,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// The shim's answer to `start` is of no use.
    #[error("start shim")]
    Bootstrap(#[from] BootstrapError),
    /// Nothing answers at the shim's address.
    #[error("connect to shim at {address}")]
    Connect {
        /// Its socket.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke while a call was under way.
    #[error("shim closed the connection")]
    Closed,
    /// The shim did not answer in time.
    #[error("shim did not answer {0} in time")]
    Timeout(&'static str),
    /// A message that does not fit into a frame, or is none.
    #[error("exchange messages with shim")]
    Frame(#[from] FrameError),
    /// The shim says no.
    #[error("{message}")]
    Shim {
        /// The kind that it says.
        kind: Kind,
        /// Its words.
        message: String,
    },
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::Finished | Self::NotInstalled { .. } => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::ShimGone(_) | Self::ShimVersion(_) => Kind::FailedPrecondition,
            Self::RuntimeName(_) => Kind::InvalidArgument,
            Self::Bundle { source, .. } => match Kind::from_io(source) {
                Kind::ResourceExhausted => Kind::ResourceExhausted,
                _ => Kind::Internal,
            },
            Self::Spawn { .. } | Self::Action { .. } => Kind::Internal,
            Self::Bootstrap(BootstrapError::Version(_)) => Kind::Unimplemented,
            Self::Bootstrap(_) => Kind::Internal,
            Self::Connect { .. } | Self::Closed => Kind::Unavailable,
            Self::Timeout(_) => Kind::DeadlineExceeded,
            Self::Frame(error) => error.kind(),
            Self::Shim { kind, .. } => *kind,
        }
    }
}
