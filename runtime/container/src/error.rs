//! What can fail in a container's life.

use base_errors::{Classify, Kind};

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not offered yet.
    #[error("{0}: not implemented")]
    Unimplemented(&'static str),
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Unimplemented(_) => Kind::Unimplemented,
        }
    }
}
