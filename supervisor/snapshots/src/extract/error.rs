//! What can go wrong while a layer is unpacked.

use base_errors::{Classify, Kind};
use std::io;

/// A layer that could not be unpacked; whatever was written is to be thrown away.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// Reading or decompressing the layer failed.
    #[error("read layer")]
    Read(#[source] io::Error),
    /// The stream is not a tar archive, or a damaged one.
    #[error("invalid tar archive: {why}")]
    Malformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The archive ends inside an entry.
    #[error("tar archive ends inside an entry")]
    Truncated,
    /// A bound of [`super::Limits`] was passed.
    #[error("layer exceeds the limit of {limit} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// An entry names something outside the layer, or nothing that can be named.
    #[error("tar entry {name:?}: {why}")]
    UnsafeName {
        /// The entry's name as the archive has it.
        name: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// An entry is of a type that a layer cannot hold.
    #[error("tar entry {name:?} has the unknown type {flag:#04x}")]
    UnknownType {
        /// The entry's name.
        name: String,
        /// The type flag of its header.
        flag: u8,
    },
    /// The kernel refused to make an entry.
    #[error("{step} {name:?}")]
    Entry {
        /// What was tried.
        step: &'static str,
        /// The entry's name.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The unpacked stream is not the one that the image promised.
    #[error("wrong diff id calculated on extraction: expected {expected}, got {actual}")]
    WrongDiffId {
        /// What the image's configuration says.
        expected: String,
        /// What the stream hashes to.
        actual: String,
    },
}

impl ExtractError {
    pub(crate) fn entry(step: &'static str, name: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Entry { step, name: printable(name), source: source.into() }
    }

    pub(crate) fn unsafe_name(name: &[u8], why: &'static str) -> Self {
        Self::UnsafeName { name: printable(name), why }
    }
}

impl Classify for ExtractError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read(error) | Self::Entry { source: error, .. } => match Kind::from_io(error) {
                Kind::ResourceExhausted => Kind::ResourceExhausted,
                _ => Kind::Internal,
            },
            Self::Malformed { .. }
            | Self::Truncated
            | Self::UnsafeName { .. }
            | Self::UnknownType { .. } => Kind::InvalidArgument,
            Self::TooMuch { .. } => Kind::ResourceExhausted,
            Self::WrongDiffId { .. } => Kind::FailedPrecondition,
        }
    }
}

/// A name for an error text: at most 256 bytes of it, as text.
fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned()
}
