//! A container's log.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::site::Route;
use bytes::Bytes;
use contracts_engine_api::stream::{MULTIPLEXED_STREAM, RAW_STREAM, Stream, frame};
use daemon_engine::{Logs, LogsOptions};
use futures_util::stream;
use std::sync::Arc;

pub(super) fn routes() -> [Route<Context>; 1] {
    [route!(Whole "GET /containers/{}/logs" => logs)]
}

async fn logs(context: Arc<Context>, request: Request) -> Outcome {
    let query = &request.query;
    let (stdout, stderr) = (query.switch("stdout"), query.switch("stderr"));
    if !stdout && !stderr {
        return Err(Failure::invalid("must specify at least one of 'stdout' or 'stderr'"));
    }
    if request.version.at_least(54) && !query.text("format").is_empty() {
        return Err(Failure::Absent("the log format json"));
    }
    let since = query.time("since")?;
    let until = if query.text("until") == "0" { None } else { query.time("until")? };
    let options = LogsOptions {
        stdout,
        stderr,
        follow: query.switch("follow"),
        since,
        until,
        // What is no number means all, as in dockerd.
        tail: query.text("tail").parse().ok(),
        timestamps: query.switch("timestamps"),
        details: query.switch("details"),
    };
    let logs = context.engine.container_logs(&request.name, options).await?;
    let framed = !logs.tty;
    let content =
        if framed && request.version.at_least(42) { MULTIPLEXED_STREAM } else { RAW_STREAM };
    Reply::stream(content, pieces(logs))
}

/// Entries as the client gets them. A failure on the way ends the stream with its text.
fn pieces(logs: Logs) -> impl futures_util::Stream<Item = Bytes> {
    let tty = logs.tty;
    stream::unfold(Some(logs.entries), move |entries| async move {
        let mut entries = entries?;
        match entries.recv().await? {
            Ok(entry) if tty => Some((entry.bytes, Some(entries))),
            Ok(entry) => Some((frame(entry.stream, &entry.bytes).into(), Some(entries))),
            Err(error) => {
                let text = format!("Error grabbing logs: {error}\n");
                let bytes = if tty {
                    text.into_bytes()
                } else {
                    frame(Stream::SystemError, text.as_bytes())
                };
                Some((bytes.into(), None))
            }
        }
    })
}
