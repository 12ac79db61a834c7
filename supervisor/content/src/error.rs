//! What can go wrong with content.

use base_errors::{Classify, Kind};
use std::io;

/// A request about blobs or ingests that could not be fulfilled. Texts follow containerd's.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// No blob of this digest, or none that this namespace may see.
    #[error("content {0}: not found")]
    NotFound(String),
    /// A blob of this digest is there already.
    #[error("content {0}: already exists")]
    Exists(String),
    /// No ingest of this reference.
    #[error("ingest {0:?}: not found")]
    NoIngest(String),
    /// Somebody writes to this ingest.
    #[error("ref {0} locked: unavailable")]
    Locked(String),
    /// The committed length is not the announced one.
    #[error("unexpected commit size {actual}, expected {expected}: failed precondition")]
    WrongSize {
        /// What was written.
        actual: u64,
        /// What was announced.
        expected: u64,
    },
    /// The committed content is not the announced one.
    #[error("unexpected commit digest {actual}, expected {expected}: failed precondition")]
    WrongDigest {
        /// What was written.
        actual: String,
        /// What was announced.
        expected: String,
    },
    /// More was written than was announced.
    #[error("ingest {0:?} is longer than announced")]
    TooLong(String),
    /// An earlier write to it failed half way.
    #[error("ingest {0:?} was left half written: begin it again")]
    Torn(String),
    /// A blob that was to be read whole is too long for that.
    #[error("content {digest} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Which.
        digest: String,
        /// Its length.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// Labels that are not allowed.
    #[error(transparent)]
    Labels(#[from] crate::labels::LabelError),
    /// A reference that cannot be one.
    #[error("invalid reference: {0}")]
    InvalidReference(&'static str),
    /// The file system refused a step.
    #[error("{step}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// The metadata store refused a step.
    #[error(transparent)]
    Metadata(#[from] supervisor_metadata::Error),
}

impl ContentError {
    pub(crate) fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}

impl Classify for ContentError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoIngest(_) => Kind::NotFound,
            Self::Exists(_) => Kind::AlreadyExists,
            Self::Locked(_) => Kind::Unavailable,
            Self::WrongSize { .. }
            | Self::WrongDigest { .. }
            | Self::TooLong(_)
            | Self::Torn(_) => Kind::FailedPrecondition,
            Self::InvalidReference(_) | Self::Labels(_) => Kind::InvalidArgument,
            Self::TooLarge { .. } => Kind::ResourceExhausted,
            Self::Io { source, .. } => match Kind::from_io(source) {
                Kind::ResourceExhausted => Kind::ResourceExhausted,
                _ => Kind::Internal,
            },
            Self::Metadata(error) => error.kind(),
        }
    }
}
