//! HTTP/2 with prior knowledge, on the same sockets.
//!
//! Nothing can be hijacked here: a stream of HTTP/2 is not a connection.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::http1::body::LONGEST_BODY;
use crate::reply::{Answer, Body, Reply};
use crate::request::{Head, percent_decode};
use crate::site::{Intake, Site};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// What a client that speaks HTTP/2 sends first (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(300);
/// How often, and how long each time, a silent client is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIME: Duration = Duration::from_secs(20);
/// Requests at a time on one connection.
const MOST_STREAMS: u32 = 250;

type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// Serves a connection whose preface has been read into `inbox`.
pub(crate) async fn serve<C: Send + Sync + 'static>(
    site: Arc<Site<C>>,
    connection: Connection,
    inbox: BytesMut,
    shutdown: CancellationToken,
) {
    let stream = TokioIo::new(Rewound { inbox, connection });
    let service = hyper::service::service_fn(move |request| answer(Arc::clone(&site), request));
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(PING_INTERVAL))
        .keep_alive_timeout(PING_TIME)
        .max_concurrent_streams(MOST_STREAMS)
        .serve_connection(stream, service);
    let mut serving = std::pin::pin!(serving);
    let outcome = tokio::select! {
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        outcome = serving.as_mut() => outcome,
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "HTTP/2 connection ended early");
    }
}

async fn answer<C: Send + Sync + 'static>(
    site: Arc<Site<C>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<AnswerBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let Some(path) = percent_decode(parts.uri.path()) else {
        return Ok(response(Answer::failure(&Failure::invalid("malformed path"))));
    };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let head = Head { method: parts.method, path, query, headers: parts.headers, modern: true };
    let Some(found) = site.find(&head) else {
        return Ok(response(Answer::failure(&Failure::NoPage)));
    };
    let body = match found.route.intake {
        Intake::Unread => Bytes::new(),
        Intake::Whole | Intake::Hijack => match read_body(body).await {
            Some(body) => body,
            None => {
                let failure = Failure::invalid("request body too large, too slow or cut short");
                return Ok(response(Answer::failure(&failure)));
            }
        },
    };
    Ok(match site.answer(found, head, body).await {
        Reply::Answer(answer) => response(answer),
        Reply::Hijack(_) => {
            let failure = Failure::invalid("a stream of HTTP/2 cannot be hijacked");
            response(Answer::failure(&failure))
        }
    })
}

async fn read_body(body: Incoming) -> Option<Bytes> {
    let longest = usize::try_from(LONGEST_BODY).unwrap_or(usize::MAX);
    let read = Limited::new(body, longest).collect();
    let read = tokio::time::timeout(BODY_TIME, read).await.ok()?.ok()?;
    Some(read.to_bytes())
}

fn response(answer: Answer) -> hyper::Response<AnswerBody> {
    let body = match answer.body {
        Body::Absent => Empty::new().boxed_unsync(),
        Body::Whole(body) => Full::new(body).boxed_unsync(),
        Body::Stream(pieces) => {
            let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
            UnsyncBoxBody::new(StreamBody::new(frames))
        }
    };
    let mut response = hyper::Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// A connection of which some bytes were read already.
struct Rewound {
    inbox: BytesMut,
    connection: Connection,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.inbox.is_empty() {
            return Pin::new(&mut self.connection).poll_read(context, buffer);
        }
        let length = self.inbox.len().min(buffer.remaining());
        buffer.put_slice(&self.inbox.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}
