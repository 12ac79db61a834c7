//! What a handler answers.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::request::Request;
use bytes::Bytes;
use contracts_engine_api::ErrorResponse;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// A handler's outcome.
pub(crate) type Outcome = Result<Reply, Failure>;

/// What to do with the connection.
pub(crate) enum Reply {
    /// Send an answer, and go on with the next request.
    Answer(Answer),
    /// Give the connection away.
    Hijack(Hijack),
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// An answer's body.
pub(crate) enum Body {
    /// None at all, not even an empty one: 204 and 304.
    Absent,
    /// All of it.
    Whole(Bytes),
    /// Piece by piece, each sent at once, the head before the first.
    Stream(BoxStream<'static, Bytes>),
}

/// A connection that is given away.
pub(crate) struct Hijack {
    /// The head's first line and content headers, without the blank line.
    pub(crate) head: String,
    /// Whether the headers that every answer has follow.
    pub(crate) common_headers: bool,
    /// What is done with the connection.
    pub(crate) take: Take,
}

/// Takes a connection with the bytes read from it already.
pub(crate) type Take = Box<dyn FnOnce(Connection, Bytes) -> BoxFuture<'static, ()> + Send>;

impl Answer {
    pub(crate) fn new(status: StatusCode, body: Body) -> Self {
        Self { status, headers: HeaderMap::new(), body }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// The JSON that tells of a failure; what happened already (304) is told by the status alone.
    pub(crate) fn failure(failure: &Failure) -> Self {
        let status = failure.status();
        if status == StatusCode::NOT_MODIFIED {
            return Self::new(status, Body::Absent);
        }
        let response = ErrorResponse { message: failure.to_string() };
        let mut body = serde_json::to_vec(&response).unwrap_or_default();
        body.push(b'\n');
        Self::new(status, Body::Whole(body.into())).header(header::CONTENT_TYPE, "application/json")
    }

    /// A failure as a client of an API before 1.24 expects it.
    pub(crate) fn plain_failure(failure: &Failure) -> Self {
        let body = format!("{failure}\n");
        Self::new(failure.status(), Body::Whole(body.into()))
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
    }
}

impl Reply {
    /// 204.
    pub(crate) fn nothing() -> Outcome {
        Ok(Self::Answer(Answer::new(StatusCode::NO_CONTENT, Body::Absent)))
    }

    /// A status and an empty body.
    pub(crate) fn empty(status: StatusCode) -> Outcome {
        Ok(Self::Answer(Answer::new(status, Body::Whole(Bytes::new()))))
    }

    /// 200 with JSON of the client's version.
    pub(crate) fn json<T: Serialize>(request: &Request, value: &T) -> Outcome {
        Self::json_status(request, StatusCode::OK, value)
    }

    /// JSON of the client's version.
    pub(crate) fn json_status<T: Serialize>(
        request: &Request,
        status: StatusCode,
        value: &T,
    ) -> Outcome {
        let mut body = crate::gates::encode(request.route, &request.version, value)?;
        body.push(b'\n');
        Ok(Self::Answer(
            Answer::new(status, Body::Whole(body.into()))
                .header(header::CONTENT_TYPE, "application/json"),
        ))
    }

    /// 200, sent piece by piece.
    pub(crate) fn stream(
        content_type: &'static str,
        pieces: impl futures_util::Stream<Item = Bytes> + Send + 'static,
    ) -> Outcome {
        Ok(Self::Answer(
            Answer::new(StatusCode::OK, Body::Stream(pieces.boxed()))
                .header(header::CONTENT_TYPE, content_type),
        ))
    }
}
