//! Why a request fails before or behind the engine: a status and a text for the client.

use base_errors::{Classify, Kind};
use contracts_engine_api::decode::DecodeError;
use contracts_engine_api::filters::InvalidFilter;
use http::StatusCode;

/// A request that is answered with an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine's own words.
    #[error(transparent)]
    Engine(#[from] daemon_engine::Error),
    /// The engine's words about a kill, which dockerd introduces.
    #[error("{KILL_PREFIX}{name}: {}", plain_kill(source, name))]
    Kill {
        /// Which container.
        name: String,
        /// The engine's words.
        source: daemon_engine::Error,
    },
    /// The body is not what it should be.
    #[error(transparent)]
    Body(#[from] DecodeError),
    /// The filters are not what they should be.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// A parameter or header is wrong.
    #[error("{0}")]
    Invalid(String),
    /// This daemon does not do that.
    #[error("{0} is not implemented by gantry yet")]
    Absent(&'static str),
    /// There is no swarm here.
    #[error("{0}")]
    NoSwarm(&'static str),
    /// No plugin can be installed here, so none has this name.
    #[error("plugin \"{0}\" not found")]
    NoPlugin(String),
    /// A hijack without the header that it needs.
    #[error("no upgrade proto in request")]
    NoUpgrade,
    /// No such page.
    #[error("page not found")]
    NoPage,
    /// A handler died; the log knows more.
    #[error("the daemon failed while it worked on this request")]
    Panic,
    /// An answer could not be encoded.
    #[error("encode the answer: {0}")]
    Encode(#[from] serde_json::Error),
}

/// How dockerd introduces what goes wrong with a kill.
const KILL_PREFIX: &str = "cannot kill container: ";

/// The engine's words without an introduction of their own.
fn plain_kill(error: &daemon_engine::Error, name: &str) -> String {
    let text = error.to_string();
    let plain = text.strip_prefix(KILL_PREFIX).and_then(|rest| rest.strip_prefix(name));
    plain.and_then(|rest| rest.strip_prefix(": ")).map_or_else(|| text.clone(), str::to_owned)
}

impl Failure {
    /// A wrong request.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// The HTTP status; the one place where kinds become statuses.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl Classify for Failure {
    fn kind(&self) -> Kind {
        match self {
            Self::Engine(error) | Self::Kill { source: error, .. } => error.kind(),
            Self::Body(error) => error.kind(),
            Self::Filter(error) => error.kind(),
            Self::Invalid(_) => Kind::InvalidArgument,
            Self::Absent(_) => Kind::Unimplemented,
            Self::NoSwarm(_) => Kind::Unavailable,
            Self::NoPage | Self::NoPlugin(_) => Kind::NotFound,
            Self::NoUpgrade | Self::Panic | Self::Encode(_) => Kind::Internal,
        }
    }
}
