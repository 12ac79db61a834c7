//! What can go wrong between a command and the daemon, in the words that Docker's users know.

use base_errors::{Classify, Kind};
use std::io;
use std::path::PathBuf;

/// The result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing listens.
    #[error("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")]
    NotRunning {
        /// The daemon's address as it was given.
        host: String,
    },
    /// The socket is there but not for this user. The text is Docker's to the letter: scripts
    /// look for it.
    #[error(
        "permission denied while trying to connect to the Docker daemon socket at {host}: \
         {verb} \"{url}\": dial unix {}: connect: permission denied", socket.display()
    )]
    Permission {
        /// The daemon's address as it was given.
        host: String,
        /// The request's method as Go's client writes it: `Get`.
        verb: &'static str,
        /// The request's address.
        url: String,
        /// The socket's path.
        socket: PathBuf,
    },
    /// The connection could not be made for another reason.
    #[error("error during connect: {verb} \"{url}\": {reason}")]
    Connect {
        /// The request's method as Go's client writes it.
        verb: &'static str,
        /// The request's address.
        url: String,
        /// What failed.
        reason: String,
    },
    /// The connection broke within a request.
    #[error("error during connect: {during}")]
    Broken {
        /// What was going on.
        during: &'static str,
        /// What broke.
        #[source]
        source: io::Error,
    },
    /// The daemon was started by us and did not come up.
    #[error("{0}")]
    Launch(String),
    /// The peer does not speak HTTP/1.1 as we know it.
    #[error("the daemon's answer is not understood: {0}")]
    Protocol(&'static str),
    /// The answer is longer than any honest one.
    #[error("the daemon's answer is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The answer's JSON is not what was asked for.
    #[error("the daemon's answer to {path} is not understood")]
    Json {
        /// The request's path.
        path: String,
        /// What does not fit.
        #[source]
        source: contracts_engine_api::decode::DecodeError,
    },
    /// No daemon's answer, but what several of them mean together.
    #[error("{message}")]
    Missing {
        /// What is missing.
        message: String,
    },
    /// The daemon refused.
    #[error("Error response from daemon: {message}")]
    Answer {
        /// The HTTP status.
        status: u16,
        /// The daemon's words.
        message: String,
    },
}

impl Error {
    /// Whether the daemon says that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer { status: 404, .. } | Self::Missing { .. })
    }

    /// Whether no daemon was reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NotRunning { .. }
                | Self::Permission { .. }
                | Self::Connect { .. }
                | Self::Launch(_)
        )
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Permission { .. } => Kind::PermissionDenied,
            Self::NotRunning { .. }
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Launch(_) => Kind::Unavailable,
            Self::Missing { .. } => Kind::NotFound,
            Self::TooLong { .. } => Kind::ResourceExhausted,
            Self::Protocol(_) | Self::Json { .. } => Kind::Internal,
            Self::Answer { status, .. } => match status {
                304 => Kind::NotModified,
                400 => Kind::InvalidArgument,
                401 => Kind::Unauthenticated,
                403 => Kind::PermissionDenied,
                404 => Kind::NotFound,
                409 => Kind::FailedPrecondition,
                501 => Kind::Unimplemented,
                503 => Kind::Unavailable,
                _ => Kind::Internal,
            },
        }
    }
}
