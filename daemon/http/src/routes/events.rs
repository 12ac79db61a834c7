//! What happens in the daemon.

use super::{Context, route};
use crate::failure::Failure;
use crate::reply::{Outcome, Reply};
use crate::request::{Head, Request};
use crate::site::Route;
use bytes::Bytes;
use contracts_engine_api::events::Message;
use contracts_engine_api::{ApiVersion, timestamp};
use daemon_engine::EventsOptions;
use futures_util::stream;
use std::sync::Arc;

/// Starts each record of `application/json-seq` (RFC 7464).
const RECORD_SEPARATOR: u8 = 0x1e;
const SEQUENCE: &str = "application/json-seq";

pub(super) fn routes() -> [Route<Context>; 1] {
    [route!(Whole "GET /events" => events)]
}

async fn events(context: Arc<Context>, request: Request) -> Outcome {
    let time = |name: &str| {
        timestamp::from_query(request.query.text(name))
            .map_err(|error| Failure::Invalid(format!("invalid value for '{name}': {error}")))
    };
    let (since, until) = (time("since")?, time("until")?);
    if since.zip(until).is_some_and(|(since, until)| until < since) {
        let (since, until) = (request.query.text("since"), request.query.text("until"));
        let text = format!("`since` time ({since}) cannot be after `until` time ({until})");
        return Err(Failure::Invalid(text));
    }
    let options = EventsOptions { since, until, filters: request.query.filters()? };
    let events = context.engine.events(options).await?;
    let content = content_type(&request.head, &request.version);
    let version = request.version;
    let pieces = stream::unfold((events, version), move |(mut events, version)| async move {
        let event = events.next().await?;
        Some((record(event, &version, content), (events, version)))
    });
    Reply::stream(content, pieces)
}

/// The first of the client's `Accept` that is a stream of JSON; wildcards do not count.
fn content_type(head: &Head, version: &ApiVersion) -> &'static str {
    let streams = ["application/jsonl", "application/x-ndjson", SEQUENCE];
    let accepted = head.header("accept").split(',').find_map(|accept| {
        let media = accept.split(';').next().unwrap_or_default().trim();
        streams.into_iter().find(|stream| media.eq_ignore_ascii_case(stream))
    });
    let default = if version.at_least(52) { "application/jsonl" } else { "application/json" };
    accepted.unwrap_or(default)
}

/// An event as the client's version has it; an empty piece where it has no such event.
fn record(mut event: Message, version: &ApiVersion, content: &str) -> Bytes {
    if version.before(46) && event.kind == "image" && event.action == "create" {
        return Bytes::new();
    }
    if version.before(52) && matches!(event.kind.as_str(), "container" | "image") {
        event.status.clone_from(&event.action);
        event.id.clone_from(&event.actor.id);
        if event.kind == "container" {
            event.from = event.actor.attributes.get("image").cloned().unwrap_or_default();
        }
    }
    let mut line = Vec::new();
    if content == SEQUENCE {
        line.push(RECORD_SEPARATOR);
    }
    line.extend(serde_json::to_vec(&event).unwrap_or_default());
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Message {
        let mut event =
            Message { kind: "container".into(), action: "start".into(), ..Message::default() };
        event.actor.id = "abc".into();
        event.actor.attributes.insert("image".into(), "debian".into());
        event
    }

    #[test]
    fn old_versions_have_the_old_fields_too() {
        let old = record(started(), &ApiVersion::new(1, 51), "application/json");
        let old = String::from_utf8(old.to_vec()).unwrap();
        assert!(
            old.starts_with(r#"{"status":"start","id":"abc","from":"debian","Type":"container""#)
        );
        let new = record(started(), &ApiVersion::new(1, 52), "application/jsonl");
        assert!(new.starts_with(br#"{"Type":"container""#));
    }

    #[test]
    fn image_creation_is_told_since_1_46() {
        let event = Message { kind: "image".into(), action: "create".into(), ..Message::default() };
        assert!(record(event.clone(), &ApiVersion::new(1, 45), "application/json").is_empty());
        assert!(!record(event, &ApiVersion::new(1, 46), "application/json").is_empty());
    }
}
