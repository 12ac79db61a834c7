//! From a request's head to its handler, and what every answer has in common.
//!
//! Routing comes before everything else, as in dockerd: what no route matches is answered without
//! the API's headers. Then the version is checked, then the handler runs, in a task of its own.

use crate::failure::Failure;
use crate::reply::{Answer, Hijack, Outcome, Reply, Take};
use crate::request::{Head, Query, Request};
use base_telemetry::{TRACEPARENT, TraceContext};
use bytes::Bytes;
use contracts_engine_api::ApiVersion;
use daemon_engine::traced;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use tracing::Instrument as _;

/// What is served: routes, what their handlers work on, and what every answer says.
pub(crate) struct Site<C: 'static> {
    pub(crate) context: Arc<C>,
    pub(crate) routes: Vec<Route<C>>,
    pub(crate) oldest: ApiVersion,
    pub(crate) server: HeaderValue,
    pub(crate) experimental: bool,
}

/// One operation.
pub(crate) struct Route<C: 'static> {
    /// `METHOD /path/{}/more`, the braces for a name that may contain slashes.
    pub(crate) key: &'static str,
    pub(crate) intake: Intake,
    pub(crate) handle: Handler<C>,
}

/// Handles a request.
pub(crate) type Handler<C> = fn(Arc<C>, Request) -> BoxFuture<'static, Outcome>;

/// What is done with a request's body before its handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// Read whole, within a cap.
    Whole,
    /// Read whole when its length is declared; a chunked one belongs to the hijacked stream.
    Hijack,
    /// Left unread; the connection is closed behind the answer.
    Unread,
}

/// A request that a route matches.
pub(crate) struct Found<'s, C: 'static> {
    pub(crate) route: &'s Route<C>,
    pub(crate) version: ApiVersion,
    pub(crate) name: String,
}

impl<C> Route<C> {
    /// The name in the path, or an empty one where the pattern has none; `None` is no match.
    fn matches(&self, method: &str, path: &str) -> Option<String> {
        let (verb, pattern) = self.key.split_once(' ')?;
        if verb != method {
            return None;
        }
        match pattern.split_once("{}") {
            None => (pattern == path).then(String::new),
            Some((before, behind)) => {
                let name = path.strip_prefix(before)?.strip_suffix(behind)?;
                (!name.is_empty() && !name.ends_with('/')).then(|| name.to_owned())
            }
        }
    }
}

impl<C: Send + Sync + 'static> Site<C> {
    /// The first route that matches.
    pub(crate) fn find(&self, head: &Head) -> Option<Found<'_, C>> {
        let (version, path) = match version_prefix(&head.path) {
            Some((version, path)) => (version, path),
            None => (ApiVersion::newest(), head.path.as_str()),
        };
        let method = head.method.as_str();
        self.routes.iter().find_map(|route| {
            let name = route.matches(method, path)?;
            Some(Found { route, version: version.clone(), name })
        })
    }

    /// Runs a handler to its end, even if whoever asked is gone by then.
    pub(crate) async fn answer(&self, found: Found<'_, C>, head: Head, body: Bytes) -> Reply {
        let Found { route, version, name } = found;
        if let Err(failure) = self.check_version(&version) {
            let mut answer = if version.before(24) {
                Answer::plain_failure(&failure)
            } else {
                Answer::failure(&failure)
            };
            self.add_headers(&mut answer.headers);
            answer.headers.remove(EXPERIMENTAL);
            return Reply::Answer(answer);
        }
        let trace: TraceContext = head.header(TRACEPARENT).parse().unwrap_or_default();
        let span = tracing::info_span!("request", route = route.key, trace_id = trace.trace_id());
        span.in_scope(|| tracing::debug!("called"));
        let query = Query::parse(&head.query);
        let request = Request { head, version, route: route.key, name, query, body };
        let work = traced(trace, (route.handle)(Arc::clone(&self.context), request));
        let outcome = tokio::spawn(work.instrument(span.clone())).await;
        let outcome = outcome.unwrap_or_else(|panic| {
            span.in_scope(|| tracing::error!(%panic, "a handler died"));
            Err(Failure::Panic)
        });
        match outcome {
            Ok(Reply::Hijack(hijack)) => {
                // What the connection carries from now on belongs to the same trace.
                let take = hijack.take;
                let take: Take = Box::new(move |connection, buffered| {
                    traced(trace, take(connection, buffered)).boxed()
                });
                Reply::Hijack(Hijack { take, ..hijack })
            }
            Ok(Reply::Answer(mut answer)) => {
                self.add_headers(&mut answer.headers);
                Reply::Answer(answer)
            }
            Err(failure) => {
                span.in_scope(|| note(&failure));
                let mut answer = Answer::failure(&failure);
                self.add_headers(&mut answer.headers);
                Reply::Answer(answer)
            }
        }
    }

    fn check_version(&self, version: &ApiVersion) -> Result<(), Failure> {
        let (oldest, newest) = (&self.oldest, ApiVersion::newest());
        if version < oldest {
            Err(Failure::invalid(format!(
                "client version {version} is too old. Minimum supported API version is {oldest}, \
                 please upgrade your client to a newer version"
            )))
        } else if *version > newest {
            Err(Failure::invalid(format!(
                "client version {version} is too new. Maximum supported API version is {newest}"
            )))
        } else {
            Ok(())
        }
    }

    /// The headers of every answer that a route gave.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        let newest = HeaderValue::from_str(ApiVersion::newest().as_str());
        headers.insert(API_VERSION, newest.expect("a version is digits and dots"));
        let experimental = if self.experimental { "true" } else { "false" };
        headers.insert(EXPERIMENTAL, HeaderValue::from_static(experimental));
        headers.insert(OSTYPE, HeaderValue::from_static("linux"));
        headers.insert(http::header::SERVER, self.server.clone());
    }
}

const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");
const OSTYPE: HeaderName = HeaderName::from_static("ostype");

/// Splits `/v1.44/containers/json`.
fn version_prefix(path: &str) -> Option<(ApiVersion, &str)> {
    let rest = path.strip_prefix("/v")?;
    let slash = rest.find('/')?;
    Some((rest[..slash].parse().ok()?, &rest[slash..]))
}

/// Logs a failure where it is handled: the client is told the rest.
fn note(failure: &Failure) {
    if failure.status().is_server_error() {
        tracing::error!(error = %failure, "request failed");
    } else {
        tracing::debug!(error = %failure, "request refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn site(keys: &[&'static str]) -> Site<()> {
        Site {
            context: Arc::new(()),
            routes: keys
                .iter()
                .map(|key| Route {
                    key,
                    intake: Intake::Whole,
                    handle: |_, _| Box::pin(async { Reply::nothing() }),
                })
                .collect(),
            oldest: ApiVersion::oldest(),
            server: HeaderValue::from_static("Docker/test (linux)"),
            experimental: false,
        }
    }

    fn head(method: Method, path: &str) -> Head {
        let (query, headers) = (String::new(), HeaderMap::new());
        Head { method, path: path.to_owned(), query, headers, modern: true }
    }

    #[test]
    fn names_may_contain_slashes_and_the_first_match_wins() {
        let site = site(&["GET /images/json", "GET /images/{}/json"]);
        let found = site.find(&head(Method::GET, "/v1.44/images/a/b:c/json")).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("a/b:c", "1.44"));
        let found = site.find(&head(Method::GET, "/images/json")).unwrap();
        assert_eq!((found.name.as_str(), found.version), ("", ApiVersion::newest()));
    }

    #[test]
    fn other_methods_trailing_slashes_and_odd_versions_match_nothing() {
        let site = site(&["GET /images/json", "GET /images/{}/json", "DELETE /images/{}"]);
        for (method, path) in [
            (Method::POST, "/images/json"),
            (Method::GET, "/images/json/"),
            (Method::GET, "/vx/images/json"),
            (Method::GET, "/v1.44"),
            (Method::DELETE, "/images/x/"),
        ] {
            assert!(site.find(&head(method, path)).is_none(), "{path}");
        }
    }
}
