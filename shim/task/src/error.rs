//! What can go wrong with a request, in containerd's words where engines look at them.

use base_errors::{Classify, Kind};
use contracts_shim_api::stdio::StdioError;
use std::io;
use std::path::PathBuf;

/// A refused or failed request.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// No container of that id here.
    #[error("container not created: not found")]
    NoContainer,
    /// No exec of that id in the container.
    #[error("process {0} does not exist: not found")]
    NoProcess(String),
    /// The id is taken.
    #[error("id {0}: already exists")]
    Exists(String),
    /// The process' state does not allow it.
    #[error("cannot {verb} a {state} process")]
    State {
        /// What was asked for.
        verb: &'static str,
        /// What the process is.
        state: &'static str,
    },
    /// The process has as many calls of `Wait` as it can have.
    #[error("too many calls wait for one process")]
    Waiters,
    /// The shim was told to leave.
    #[error("the shim is about to leave")]
    Leaving,
    /// A signal for a process that has ended.
    #[error("process already finished: not found")]
    Finished,
    /// The request makes no sense.
    #[error("{0}: invalid argument")]
    Invalid(String),
    /// Not offered.
    #[error("{0}: not implemented")]
    Unimplemented(&'static str),
    /// A stdio URI that cannot be used.
    #[error(transparent)]
    Uri(#[from] StdioError),
    /// Opening a stdio file or fifo.
    #[error("open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Anything else of the operating system.
    #[error("{step}")]
    System {
        /// What was tried.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The runtime refused or failed.
    #[error("{context}: {text}")]
    Runtime {
        /// The operation.
        context: &'static str,
        /// The runtime's kind.
        kind: Kind,
        /// The runtime's words.
        text: String,
    },
}

impl TaskError {
    /// For `map_err`: the step that failed.
    pub(crate) fn system<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { step, source: source.into() }
    }
}

impl Classify for TaskError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoContainer | Self::NoProcess(_) | Self::Finished => Kind::NotFound,
            Self::Exists(_) => Kind::AlreadyExists,
            Self::State { .. } => Kind::FailedPrecondition,
            Self::Invalid(_) | Self::Uri(_) => Kind::InvalidArgument,
            Self::Waiters => Kind::ResourceExhausted,
            Self::Leaving => Kind::Unavailable,
            Self::Unimplemented(_) => Kind::Unimplemented,
            Self::Open { source, .. } | Self::System { source, .. } => Kind::from_io(source),
            Self::Runtime { kind, .. } => *kind,
        }
    }
}
