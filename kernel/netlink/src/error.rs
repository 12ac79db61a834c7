//! Netlink failures.

use std::io;

/// A failed netlink exchange.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be opened.
    #[error("open netlink socket: {0}")]
    Open(#[source] io::Error),
    /// Sending or receiving failed.
    #[error("netlink {0}: {1}")]
    Transfer(&'static str, #[source] io::Error),
    /// The kernel refused a message.
    #[error("{request}: {source}")]
    Refused {
        /// What the message asked for.
        request: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel's answer cannot be understood.
    #[error("netlink answer: {0}")]
    Malformed(&'static str),
}

impl Error {
    /// The operating system's error.
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Open(source) | Self::Transfer(_, source) | Self::Refused { source, .. } => {
                source.kind()
            }
            Self::Malformed(_) => io::ErrorKind::InvalidData,
        }
    }

    /// The operating system's error number, 0 where there is none.
    #[must_use]
    pub fn os_error(&self) -> i32 {
        match self {
            Self::Open(source) | Self::Transfer(_, source) | Self::Refused { source, .. } => {
                source.raw_os_error().unwrap_or(0)
            }
            Self::Malformed(_) => 0,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}
