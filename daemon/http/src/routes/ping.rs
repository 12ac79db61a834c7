//! `_ping`: how a client finds out that there is a daemon, and which version it speaks.

use super::{Context, route};
use crate::reply::{Answer, Body, Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 2] {
    [route!(Whole "GET /_ping" => ping), route!(Whole "HEAD /_ping" => ping)]
}

async fn ping(_: Arc<Context>, request: Request) -> Outcome {
    let body = if request.head.method == http::Method::HEAD { "" } else { "OK" };
    let answer = Answer::new(StatusCode::OK, Body::Whole(Bytes::from_static(body.as_bytes())))
        // 2 would offer BuildKit, which is not there yet.
        .header(HeaderName::from_static("builder-version"), "1")
        .header(HeaderName::from_static("swarm"), "inactive")
        .header(header::CACHE_CONTROL, "no-cache, no-store, must-revalidate")
        .header(header::PRAGMA, "no-cache")
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    Ok(Reply::Answer(answer))
}
