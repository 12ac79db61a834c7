//! `containerd.services.events.v1.Events`.

use crate::Supervisor;
use crate::call::{Answer, filters, identifier, required, scope};
use contracts_supervisor_api::services::events::events_server::Events;
use contracts_supervisor_api::services::events::{
    ForwardRequest, PublishRequest, SubscribeRequest,
};
use contracts_supervisor_api::types::Envelope;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use supervisor_events::Missed;
use tonic::{Request, Response, Status, async_trait};

/// Longest topic.
const MAX_TOPIC: usize = 1024;

/// The service.
#[derive(Clone)]
pub struct EventsService(pub Supervisor);

#[async_trait]
impl Events for EventsService {
    type SubscribeStream = BoxStream<'static, Result<Envelope, Status>>;

    async fn publish(&self, request: Request<PublishRequest>) -> Answer<()> {
        let namespace = scope(request.metadata())?.namespace;
        let PublishRequest { topic, event } = request.into_inner();
        check_topic(&topic)?;
        self.0.events.publish_any(&namespace, &topic, required(event, "event")?);
        Ok(Response::new(()))
    }

    async fn forward(&self, request: Request<ForwardRequest>) -> Answer<()> {
        self.0.tasks.forward(checked(request.into_inner())?);
        Ok(Response::new(()))
    }

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Answer<Self::SubscribeStream> {
        let filters = filters(&request.get_ref().filters)?;
        // Before the answer: nothing that happens after it may be missed.
        let subscription = self.0.events.subscribe(filters);
        let stream = unfold(Some(subscription), async |subscription| {
            let mut subscription = subscription?;
            match subscription.next().await {
                Ok(Some(envelope)) => Some((Ok(envelope.as_ref().clone()), Some(subscription))),
                Ok(None) => None,
                Err(Missed(count)) => {
                    let text = format!("subscriber was too slow and missed {count} events");
                    Some((Err(Status::resource_exhausted(text)), None))
                }
            }
        });
        Ok(Response::new(stream.boxed()))
    }
}

/// The envelope of a forwarded event, if it can be published as it is.
pub(crate) fn checked(request: ForwardRequest) -> Result<Envelope, Status> {
    let envelope = required(request.envelope, "envelope")?;
    check_topic(&envelope.topic)?;
    identifier(&envelope.namespace, "namespace")?;
    if envelope.timestamp.is_none() || envelope.event.is_none() {
        return Err(Status::invalid_argument("envelope needs a timestamp and an event"));
    }
    Ok(envelope)
}

/// A topic is a path of identifiers.
fn check_topic(topic: &str) -> Result<(), Status> {
    let parts = topic.strip_prefix('/').filter(|rest| !rest.is_empty() && topic.len() <= MAX_TOPIC);
    let parts = parts.ok_or_else(|| {
        Status::invalid_argument(format!("topic {topic:?} must be a path of identifiers"))
    })?;
    parts.split('/').try_for_each(|part| identifier(part, "topic component"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_paths_of_identifiers() {
        assert!(check_topic("/tasks/exec-added").is_ok());
        for bad in ["", "/", "tasks", "/tasks/", "//", "/a b", "/tasks/../x"] {
            assert!(check_topic(bad).is_err(), "{bad}");
        }
    }
}
