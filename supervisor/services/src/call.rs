//! What every call has in common: its place and trace, and that it runs to its end.

use base_errors::Classify;
use contracts_supervisor_api::{metadata, status};
use supervisor_metadata::filter::Filters;
use supervisor_tasks::Scope;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};
use tracing::Instrument;

/// What a service's method answers.
pub(crate) type Answer<T> = Result<Response<T>, Status>;

/// The namespace and trace of a call.
pub(crate) fn scope(headers: &MetadataMap) -> Result<Scope, Status> {
    let namespace = metadata::namespace(headers)?.to_owned();
    Ok(Scope { namespace, trace: metadata::trace(headers) })
}

/// Runs a change to its end, whether or not the client stays for the answer.
pub(crate) async fn to_its_end<T, E>(
    change: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, Status>
where
    T: Send + 'static,
    E: Classify + Send + 'static,
{
    match tokio::spawn(change.in_current_span()).await {
        Ok(result) => answer(result),
        Err(error) => Err(Status::internal(format!("the change was abandoned: {error}"))),
    }
}

/// A result as a status; the whole chain is told, and logged for whoever looks for it here.
pub(crate) fn answer<T, E: Classify + 'static>(result: Result<T, E>) -> Result<T, Status> {
    result.map_err(|error| {
        let status = status::of(&error);
        tracing::debug!(code = ?status.code(), error = status.message(), "call refused");
        status
    })
}

/// The filters of a list.
pub(crate) fn filters<S: AsRef<str>>(expressions: &[S]) -> Result<Filters, Status> {
    answer(Filters::parse(expressions))
}

/// A part of a request that must be there.
pub(crate) fn required<T>(part: Option<T>, name: &str) -> Result<T, Status> {
    part.ok_or_else(|| Status::invalid_argument(format!("{name} is required")))
}

/// Refuses a name that is no identifier.
pub(crate) fn identifier(name: &str, noun: &str) -> Result<(), Status> {
    if metadata::is_identifier(name) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "invalid {noun} {name:?}: expected up to {} letters and digits with single '.', '_' or '-' \
         between them",
        metadata::MAX_IDENTIFIER
    )))
}
