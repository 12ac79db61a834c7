//! What every call says in its headers, and how blocking work answers it.

use base_errors::Classify;
use contracts_supervisor_api::metadata::{LEASE, NAMESPACE, is_identifier, text};
use contracts_supervisor_api::status;
use supervisor_metadata::filter::Filters;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// The namespace that a call works in.
///
/// # Errors
/// It names none, or not an identifier.
pub fn namespace(headers: &MetadataMap) -> Result<String, Status> {
    match text(headers, NAMESPACE) {
        None | Some("") => {
            Err(Status::new(Code::FailedPrecondition, "namespace is required: failed precondition"))
        }
        Some(namespace) if is_identifier(namespace) => Ok(namespace.to_owned()),
        Some(other) => Err(Status::invalid_argument(format!("invalid namespace {other:?}"))),
    }
}

/// The lease that a call adds what it makes to.
#[must_use]
pub fn lease(headers: &MetadataMap) -> Option<String> {
    text(headers, LEASE).filter(|lease| !lease.is_empty()).map(str::to_owned)
}

/// The filters of a list request.
///
/// # Errors
/// One cannot be parsed.
pub fn filters(expressions: &[String]) -> Result<Filters, Status> {
    Filters::parse(expressions).map_err(|error| status::of(&error))
}

/// Runs blocking work on a thread that may block; it ends even if the caller is gone.
///
/// # Errors
/// What the work answers, as a status.
pub async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Status>
where
    T: Send + 'static,
    E: Classify + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| status::of(&error)),
        Err(error) => Err(Status::internal(format!("the work was abandoned: {error}"))),
    }
}
