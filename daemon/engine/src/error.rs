//! The engine's errors, in Docker's words.
//!
//! Clients parse these texts, so that they are kept to the letter, and the whole of an error is
//! its `Display`: the HTTP layer sends `error.to_string()` and the status of `error.kind()`.

use base_errors::{Classify, Kind};
use base_ids::reference::InvalidReference;

/// Why the engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request is wrong in a way that its text explains.
    #[error("{0}")]
    Invalid(String),
    /// No container of this name, id or unique prefix.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// An id prefix that several containers or images share.
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousPrefix(String),
    /// No exec session of this id.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// No local image of this reference.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// No volume of this name.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// No network of this name or id.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The wanted name, without its slash.
        name: String,
        /// Who has it.
        id: String,
    },
    /// The container does not run, which the request needs.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// The container is paused, which the request cannot work with.
    #[error("Container {0} is paused, unpause the container before exec")]
    PausedForExec(String),
    /// The state of the thing does not allow the request.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for is so already; the HTTP layer answers 304 without a body.
    #[error("{0}")]
    NotModified(String),
    /// A named thing that has no variant of its own does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The container could not be started; the text is dockerd's.
    #[error("{message}")]
    Start {
        /// The kind that decides the status (400 for a command that cannot be run).
        kind: Kind,
        /// dockerd's text.
        message: String,
    },
    /// The registry or another peer answered with this.
    #[error("{message}")]
    Remote {
        /// What sort of failure it was.
        kind: Kind,
        /// What it said.
        message: String,
    },
    /// The supervisor cannot be reached.
    #[error("supervisor: {0}")]
    Supervisor(String),
    /// Not offered by this daemon.
    #[error("{0} is not implemented by this daemon")]
    Unimplemented(&'static str),
    /// The machine or this program failed at a step.
    #[error("{step}: {cause}")]
    Internal {
        /// What was being done.
        step: &'static str,
        /// What went wrong, with its own causes.
        cause: String,
    },
}

impl Error {
    /// A failure of the machine or of this program at `step`.
    pub(crate) fn internal(step: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Internal { step, cause: cause.to_string() }
    }

    /// A failure whose text is Docker's, without a step of ours in front.
    pub(crate) fn internal_text(text: String) -> Self {
        Self::Remote { kind: Kind::Internal, message: text }
    }

    /// An input error with this text.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

impl From<InvalidReference> for Error {
    fn from(error: InvalidReference) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) | Self::AmbiguousPrefix(_) => Kind::InvalidArgument,
            Self::NoSuchContainer(_)
            | Self::NoSuchExec(_)
            | Self::NoSuchImage(_)
            | Self::NoSuchVolume(_)
            | Self::NoSuchNetwork(_)
            | Self::NotFound(_) => Kind::NotFound,
            Self::NameTaken { .. }
            | Self::NotRunning(_)
            | Self::PausedForExec(_)
            | Self::Conflict(_) => Kind::FailedPrecondition,
            Self::NotModified(_) => Kind::NotModified,
            Self::Start { kind, .. } | Self::Remote { kind, .. } => *kind,
            Self::Supervisor(_) => Kind::Unavailable,
            Self::Unimplemented(_) => Kind::Unimplemented,
            Self::Internal { .. } => Kind::Internal,
        }
    }
}

/// What the engine's methods answer.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_conflict_is_dockers_text_to_the_letter() {
        let error = Error::NameTaken { name: "web".into(), id: "ab".repeat(32) };
        assert_eq!(
            error.to_string(),
            format!(
                "Conflict. The container name \"/web\" is already in use by container \"{}\". You \
                 have to remove (or rename) that container to be able to reuse that name.",
                "ab".repeat(32)
            )
        );
        assert_eq!(error.kind().http_status(), 409);
    }
}
