//! News of everything that changes, from whoever changes it to whoever asked to be told.
//!
//! Entry point: [`Exchange`], one for the program. Publishing never waits: a subscriber that falls
//! [`BACKLOG`] events behind is told so and cut off, as silence about an exit would be worse.
//! Nothing is kept: what happened before a subscription is asked of the services.

#![forbid(unsafe_code)]

mod fields;

pub use fields::Event;

use contracts_supervisor_api::prost::Name;
use contracts_supervisor_api::types::Envelope;
use contracts_supervisor_api::{Any, any};
use std::sync::Arc;
use supervisor_metadata::filter::Filters;
use tokio::sync::broadcast;

/// How many events a subscriber may be behind.
pub const BACKLOG: usize = 1024;

/// Where events are published and subscribed to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exchange(broadcast::Sender<Arc<Envelope>>);

impl Default for Exchange {
    fn default() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }
}

impl Exchange {
    /// Publishes an event of this program's own, now.
    pub fn publish<M: Name>(&self, namespace: &str, topic: &str, event: &M) {
        self.publish_any(namespace, topic, any::pack(event));
    }

    /// Publishes an event that a client made, now.
    pub fn publish_any(&self, namespace: &str, topic: &str, event: Any) {
        self.forward(Envelope {
            timestamp: Some(supervisor_metadata::now()),
            namespace: namespace.to_owned(),
            topic: topic.to_owned(),
            event: Some(event),
        });
    }

    /// Publishes an event that has its time and place already.
    pub fn forward(&self, envelope: Envelope) {
        // An error only says that nobody listens.
        let _ = self.0.send(Arc::new(envelope));
    }

    /// The events from now on that the filters select.
    #[must_use]
    pub fn subscribe(&self, filters: Filters) -> Subscription {
        Subscription { events: self.0.subscribe(), filters }
    }
}

/// One subscriber's events.
#[derive(Debug)]
pub struct Subscription {
    events: broadcast::Receiver<Arc<Envelope>>,
    filters: Filters,
}

/// The subscriber was too slow and has missed this many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed(pub u64);

impl Subscription {
    /// The next event; `None` when the program ends.
    ///
    /// Cancel-safe: an event is taken only when it is returned.
    ///
    /// # Errors
    /// Events were missed.
    pub async fn next(&mut self) -> Result<Option<Arc<Envelope>>, Missed> {
        loop {
            match self.events.recv().await {
                Ok(envelope) if self.filters.matches(&Event(&envelope)) => {
                    return Ok(Some(envelope));
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(count)) => return Err(Missed(count)),
                Err(broadcast::error::RecvError::Closed) => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_supervisor_api::events::{TaskExit, TaskStart};
    use contracts_supervisor_api::topics;

    fn exit(id: &str) -> TaskExit {
        TaskExit { container_id: id.into(), id: format!("{id}-exec"), ..TaskExit::default() }
    }

    #[tokio::test]
    async fn a_subscriber_gets_what_its_filters_select_in_order() {
        let exchange = Exchange::default();
        let filters = [r#"topic=="/tasks/exit",event.container_id==b"#, "namespace==other"];
        let mut subscription = exchange.subscribe(Filters::parse(&filters).unwrap());
        exchange.publish("moby", topics::TASK_EXIT, &exit("a"));
        let start = TaskStart { container_id: "b".into(), pid: 1 };
        exchange.publish("moby", topics::TASK_START, &start);
        exchange.publish("moby", topics::TASK_EXIT, &exit("b"));
        exchange.publish("other", topics::TASK_START, &start);
        let first = subscription.next().await.unwrap().unwrap();
        assert_eq!(any::unpack::<TaskExit>(first.event.as_ref().unwrap()).unwrap(), exit("b"));
        assert_eq!(subscription.next().await.unwrap().unwrap().namespace, "other");
        drop(exchange);
        assert!(subscription.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_is_told() {
        let exchange = Exchange::default();
        let mut subscription = exchange.subscribe(Filters::default());
        for _ in 0..=BACKLOG {
            exchange.publish("moby", topics::TASK_EXIT, &exit("a"));
        }
        assert_eq!(subscription.next().await, Err(Missed(1)));
    }
}
