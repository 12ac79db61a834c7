//! What happened, told to whoever listens, and the last of it kept for who comes late.

use crate::requests::EventsOptions;
use crate::streams::EventStream;
use contracts_engine_api::Filters;
use contracts_engine_api::events::{Actor, Message};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, mpsc};

/// How many events are kept, as in dockerd.
const KEPT: usize = 256;
/// How many a slow listener may lag behind before it misses some.
const LAG: usize = 1024;
/// How many wait for one listener's connection.
const QUEUE: usize = 64;

/// All events of one daemon.
pub(crate) struct Events {
    kept: Mutex<VecDeque<Arc<Message>>>,
    sender: broadcast::Sender<Arc<Message>>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), sender: broadcast::channel(LAG).0 }
    }

    /// Tells that `action` happened to the `kind` of thing that `id` names.
    pub(crate) fn emit(
        &self,
        kind: &str,
        action: &str,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let now = Timestamp::now();
        let message = Arc::new(Message {
            kind: kind.to_owned(),
            action: action.to_owned(),
            actor: Actor { id: id.to_owned(), attributes },
            scope: "local".to_owned(),
            time: now.as_second(),
            time_nano: i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
            ..Message::default()
        });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(message.clone());
        // Sent under the lock, so that nobody sees an event twice or not at all.
        let _ = self.sender.send(message);
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Listens.
    pub(crate) fn subscribe(&self, options: EventsOptions) -> EventStream {
        let (out, receiver) = mpsc::channel(QUEUE);
        let (old, mut new) = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let nanos = |time: Timestamp| i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX);
            let since = options.since.map(nanos);
            // `until` alone means everything that is kept up to then.
            let from = since.or(options.until.map(|_| i64::MIN));
            let until = options.until.map_or(i64::MAX, nanos);
            let wanted = |m: &&Arc<Message>| {
                from.is_some_and(|from| m.time_nano >= from) && m.time_nano <= until
            };
            (kept.iter().filter(wanted).cloned().collect::<Vec<_>>(), self.sender.subscribe())
        };
        tokio::spawn(async move {
            for message in old {
                if matches(&options.filters, &message)
                    && out.send((*message).clone()).await.is_err()
                {
                    return;
                }
            }
            let end = reached(options.until);
            tokio::pin!(end);
            loop {
                // Cancel-safe: `recv` of a broadcast channel takes nothing when dropped.
                let message = tokio::select! {
                    biased;
                    () = out.closed() => return,
                    message = new.recv() => message,
                    () = &mut end => return,
                };
                let message = match message {
                    Ok(message) => message,
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "slow event listener missed events");
                        continue;
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if matches(&options.filters, &message)
                    && out.send((*message).clone()).await.is_err()
                {
                    return;
                }
            }
        });
        EventStream(receiver)
    }
}

/// Waits for an instant; for ever when there is none.
async fn reached(until: Option<Timestamp>) {
    let Some(until) = until else { return std::future::pending().await };
    let left = Timestamp::now().duration_until(until);
    tokio::time::sleep(std::time::Duration::try_from(left).unwrap_or_default()).await;
}

/// Docker's filters: values of one key are alternatives, keys must all fit.
fn matches(filters: &Filters, message: &Message) -> bool {
    let Message { kind, action, actor, scope, .. } = message;
    let attribute = |name: &str| actor.attributes.get(name).map_or("", String::as_str);
    let any = |key: &str, fits: &dyn Fn(&str) -> bool| {
        let mut values = filters.get(key).peekable();
        values.peek().is_none() || values.any(fits)
    };
    let thing = |key: &str| {
        let name = attribute("name");
        any(key, &|value| kind == key && (actor.id.starts_with(value) || name.starts_with(value)))
    };
    let bare = action.split(':').next().unwrap_or(action);
    let familiar = |text: &str| text.split(['@', ':']).next().unwrap_or(text).to_owned();
    any("event", &|value| value == action || value == bare)
        && any("type", &|value| value == kind)
        && any("scope", &|value| value == scope)
        && thing("container")
        && thing("volume")
        && thing("network")
        && thing("daemon")
        && thing("plugin")
        && any("image", &|value| {
            let image = if kind == "image" { attribute("name") } else { attribute("image") };
            image == value || familiar(image) == value || (kind == "image" && actor.id == value)
        })
        && filters.matches_pairs("label", Some(&actor.attributes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(name: &str) -> BTreeMap<String, String> {
        [("name".to_owned(), name.to_owned()), ("image".to_owned(), "debian:12".to_owned())].into()
    }

    fn filters(json: &str) -> Filters {
        Filters::from_json(json).unwrap()
    }

    #[tokio::test]
    async fn late_listeners_get_kept_events_and_then_new_ones() {
        let events = Events::new();
        events.emit("container", "create", "abc", attributes("web"));
        let since = Some(Timestamp::UNIX_EPOCH);
        let mut stream = events.subscribe(EventsOptions { since, ..EventsOptions::default() });
        events.emit("container", "start", "abc", attributes("web"));
        assert_eq!(stream.next().await.unwrap().action, "create");
        assert_eq!(stream.next().await.unwrap().action, "start");
    }

    #[tokio::test]
    async fn until_in_the_past_ends_after_the_kept_ones() {
        let events = Events::new();
        events.emit("container", "create", "abc", attributes("web"));
        let until = Some(Timestamp::now());
        let mut stream = events.subscribe(EventsOptions { until, ..EventsOptions::default() });
        assert!(stream.next().await.is_some());
        assert!(stream.next().await.is_none());
    }

    #[test]
    fn filters_use_the_names_that_events_show() {
        let message = Message {
            kind: "container".into(),
            action: "exec_create: sh -c x".into(),
            actor: Actor { id: "abcdef".into(), attributes: attributes("web") },
            scope: "local".into(),
            ..Message::default()
        };
        for (json, fits) in [
            ("", true),
            (r#"{"event":["exec_create"]}"#, true),
            (r#"{"event":["start"]}"#, false),
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["abc","x"]}"#, true),
            (r#"{"network":["web"]}"#, false),
            (r#"{"image":["debian"]}"#, true),
            (r#"{"type":["image"]}"#, false),
            (r#"{"label":["image=debian:12"]}"#, true),
        ] {
            assert_eq!(matches(&filters(json), &message), fits, "{json}");
        }
    }
}
