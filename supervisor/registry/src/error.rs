//! What can go wrong between a registry and the image store.

use base_errors::{Classify, Kind};
use supervisor_content::ContentError;
use supervisor_snapshots::SnapshotError;
use supervisor_snapshots::extract::ExtractError;
use supervisor_snapshots::overlay::StageError;

/// A registry's answer that is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It has no such thing.
    #[error("{0}: not found")]
    NotFound(String),
    /// It wants to know who asks.
    #[error("failed to authorize {what}: {message}")]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// The registry's words.
        message: String,
    },
    /// It does not give it to who asked.
    #[error(
        "pull access denied, repository does not exist or may require authorization: \
         server message: {0}"
    )]
    Denied(String),
    /// It was asked too often.
    #[error("toomanyrequests: {0}")]
    TooManyRequests(String),
    /// It cannot be reached.
    #[error("failed to do request: {method} {url:?}: {why}")]
    Unreachable {
        /// The request's method.
        method: &'static str,
        /// The request's address.
        url: String,
        /// Why, in Go's words where people know those.
        why: String,
    },
    /// It answered with another status.
    #[error("unexpected status from {method} request to {url}: {status}{message}")]
    Status {
        /// The request's method.
        method: &'static str,
        /// The request's address.
        url: String,
        /// The answer's status.
        status: u16,
        /// The registry's words, after a colon, or nothing.
        message: String,
    },
    /// Its answer makes no sense.
    #[error("registry {0}")]
    Nonsense(&'static str),
    /// Its answer is longer than allowed.
    #[error("the registry's answer exceeds the limit of {0} bytes")]
    TooLong(u64),
    /// Nobody could tell whether it is the registry that answers.
    #[error(
        "{0}: no certificate authorities on this machine, so no encrypted registry can be \
         verified: install the package ca-certificates"
    )]
    NoAuthorities(String),
    /// How it is to be reached cannot be understood.
    #[error("hosts configuration {path}: {why}")]
    Configuration {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The client's credentials did not come.
    #[error("credentials: {0}")]
    Credentials(&'static str),
}

impl RegistryError {
    /// A request that failed on its way.
    pub(crate) fn unreachable(method: &'static str, url: &str, error: reqwest::Error) -> Self {
        let why = dial_words(url, &error.without_url());
        Self::Unreachable { method, url: url.to_owned(), why }
    }
}

/// What Go says of the usual failures; people and scripts look for these words.
fn dial_words(url: &str, error: &reqwest::Error) -> String {
    let authority = url.split('/').nth(2).unwrap_or_default();
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let words = deepest.to_string();
    let refused = words.contains("Connection refused");
    if error.is_connect() && refused {
        return format!("dial tcp {authority}: connect: connection refused");
    }
    if error.is_connect() && words.contains("Name or service not known") {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        return format!("dial tcp: lookup {host}: no such host");
    }
    if error.is_timeout() {
        let verb = if error.is_connect() { "dial" } else { "read" };
        return format!("{verb} tcp {authority}: i/o timeout");
    }
    base_errors::Chain(error).to_string()
}

impl Classify for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::Unauthorized { .. } | Self::Credentials(_) => Kind::Unauthenticated,
            Self::Denied(_) => Kind::PermissionDenied,
            Self::TooManyRequests(_) | Self::TooLong(_) => Kind::ResourceExhausted,
            Self::Unreachable { .. } => Kind::Unavailable,
            Self::Status { status, .. } if *status >= 500 => Kind::Unavailable,
            Self::Status { .. } | Self::Nonsense(_) => Kind::Internal,
            Self::NoAuthorities(_) => Kind::FailedPrecondition,
            Self::Configuration { .. } => Kind::InvalidArgument,
        }
    }
}

/// A pull or import that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The reference cannot be turned into a manifest.
    #[error("failed to resolve reference {reference:?}")]
    Resolve {
        /// The reference as it was given.
        reference: String,
        /// Why.
        source: RegistryError,
    },
    /// The reference is not a full one.
    #[error(transparent)]
    Reference(#[from] crate::reference::InvalidReference),
    /// An archive names an image by what is no name.
    #[error("name of an image in the archive")]
    Name(#[source] base_ids::reference::InvalidReference),
    /// A blob cannot be fetched.
    #[error("failed to copy {digest}")]
    Fetch {
        /// The blob.
        digest: String,
        /// Why.
        source: RegistryError,
    },
    /// A document cannot be understood.
    #[error("invalid image document: {0}")]
    Document(&'static str),
    /// A document is not JSON of its kind.
    #[error("invalid image document")]
    Json(#[source] serde_json::Error),
    /// Not an image.
    #[error("media type {0:?} is not that of an image")]
    MediaType(String),
    /// An image of before 2016.
    #[error(
        "the image is in Docker's manifest format 1, which is not supported; push it again with \
         a current tool"
    )]
    Schema1,
    /// No image for this machine.
    #[error("no match for platform in manifest {digest}: not found")]
    NoPlatform {
        /// The index.
        digest: String,
    },
    /// The content store failed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The snapshotter failed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A layer is not what it should be.
    #[error("failed to extract layer {digest}")]
    Extract {
        /// The layer.
        digest: String,
        /// Why.
        source: ExtractError,
    },
    /// The records failed.
    #[error(transparent)]
    Metadata(#[from] supervisor_metadata::Error),
    /// Asked for something that is not there.
    #[error("{0}: not implemented")]
    Unimplemented(&'static str),
    /// An archive that is none, or not one of images.
    #[error("invalid image archive: {0}")]
    Archive(&'static str),
    /// The archive's stream broke.
    #[error("read image archive")]
    Stream(#[source] std::io::Error),
    /// The client is gone.
    #[error("the pull was cancelled")]
    Cancelled,
    /// A part of the work died.
    #[error("a part of the pull was abandoned")]
    Abandoned,
}

impl From<StageError> for PullError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Snapshot(error) => Self::Snapshot(error),
            StageError::Layer(source) => {
                Self::Extract { digest: "in its place".to_owned(), source }
            }
        }
    }
}

impl Classify for PullError {
    fn kind(&self) -> Kind {
        match self {
            Self::Resolve { source, .. } | Self::Fetch { source, .. } => source.kind(),
            Self::Reference(_)
            | Self::Name(_)
            | Self::Document(_)
            | Self::Json(_)
            | Self::MediaType(_)
            | Self::Archive(_)
            | Self::Schema1 => Kind::InvalidArgument,
            Self::NoPlatform { .. } => Kind::NotFound,
            Self::Content(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Extract { source, .. } => source.kind(),
            Self::Metadata(error) => error.kind(),
            Self::Unimplemented(_) => Kind::Unimplemented,
            Self::Stream(error) => Kind::from_io(error),
            Self::Cancelled => Kind::Cancelled,
            Self::Abandoned => Kind::Internal,
        }
    }
}
