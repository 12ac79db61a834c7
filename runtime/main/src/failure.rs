//! A failed command, and its exit code.

use runtime_container::Error;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The library refused; with what the command was doing before it, and the chain.
    #[error("{prefix}{}", error.message())]
    Container {
        /// `create failed: ` and the like.
        prefix: &'static str,
        /// Why.
        error: Error,
        /// The program's exit code.
        code: u8,
    },
    /// `exec` cannot be asked for like that.
    #[error("exec failed: {text}")]
    Exec {
        /// Why.
        text: String,
        /// The program's exit code.
        code: u8,
    },
    /// Something of this program's own.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The program's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Container { code, .. } | Self::Exec { code, .. } => *code,
            Self::Usage(_) | Self::Other(_) => 1,
        }
    }

    /// Puts words before the library's.
    pub(crate) fn during(prefix: &'static str) -> impl FnOnce(Error) -> Self {
        move |error| Self::Container { prefix, error, code: 1 }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Container { prefix: "", error, code: 1 }
    }
}
