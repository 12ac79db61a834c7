//! Attaching to a container: the connection leaves HTTP.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Hijack, Outcome, Reply, Take};
use crate::request::Request;
use crate::site::Route;
use contracts_engine_api::stream::{MULTIPLEXED_STREAM, RAW_STREAM};
use daemon_engine::{AttachOptions, Attachment};
use futures_util::FutureExt as _;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tracing::Instrument as _;

pub(super) fn routes() -> [Route<Context>; 1] {
    [route!(Hijack "POST /containers/{}/attach" => attach)]
}

async fn attach(context: Arc<Context>, request: Request) -> Outcome {
    let query = &request.query;
    let options = AttachOptions {
        stdin: query.switch("stdin"),
        stdout: query.switch("stdout"),
        stderr: query.switch("stderr"),
        logs: query.switch("logs"),
        stream: query.switch("stream"),
        detach_keys: query
            .optional("detachKeys")
            .filter(|keys| !keys.is_empty())
            .map(str::to_owned),
    };
    match context.engine.container_attach(&request.name, options).await {
        Ok(attachment) => {
            let head = head(&request, attachment.tty());
            Ok(Reply::Hijack(Hijack { head, common_headers: false, take: take(attachment) }))
        }
        Err(error) => Ok(refuse(&Failure::from(error))),
    }
}

/// The head in front of a hijacked stream: an upgrade where the client asked for one.
pub(super) fn head(request: &Request, tty: bool) -> String {
    if !request.head.headers.contains_key("upgrade") {
        return format!("HTTP/1.1 200 OK\r\nContent-Type: {RAW_STREAM}\r\n");
    }
    let framed = !tty && request.version.at_least(42);
    let content = if framed { MULTIPLEXED_STREAM } else { RAW_STREAM };
    format!(
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: {content}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    )
}

/// Hands the connection to the engine.
pub(super) fn take(attachment: Attachment) -> Take {
    let span = tracing::Span::current();
    Box::new(move |connection, buffered| {
        async move {
            let outcome = match connection.into_client_stream(buffered) {
                Ok(client) => attachment.run(client).await.map_err(|error| error.to_string()),
                Err(error) => Err(format!("give the connection away: {error}")),
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "attachment failed");
            }
        }
        .instrument(span)
        .boxed()
    })
}

/// An error of attach: plain text on a connection that is closed behind it, as dockerd writes it
/// by hand after it has hijacked the connection.
fn refuse(failure: &Failure) -> Reply {
    let status = failure.status();
    let reason = status.canonical_reason().unwrap_or("Unknown");
    let head = format!("HTTP/1.1 {} {reason}\r\nContent-Type: {RAW_STREAM}\r\n", status.as_u16());
    let text = format!("{failure}\r\n");
    let take: Take = Box::new(move |mut connection, _| {
        async move {
            let _ = connection.write_all(text.as_bytes()).await;
            let _ = connection.shutdown().await;
        }
        .boxed()
    });
    Reply::Hijack(Hijack { head, common_headers: false, take })
}
