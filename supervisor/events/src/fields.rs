//! What filters can ask of an event.

use contracts_supervisor_api::events::{
    ContainerCreate, ContainerDelete, ContainerUpdate, SnapshotCommit, SnapshotPrepare,
    SnapshotRemove, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskOom,
    TaskPaused, TaskResumed, TaskStart,
};
use contracts_supervisor_api::services::images::{ImageCreate, ImageDelete, ImageUpdate};
use contracts_supervisor_api::types::Envelope;
use contracts_supervisor_api::{Any, any};
use std::borrow::Cow;
use supervisor_metadata::filter::Fields;

/// An envelope as filters see it: `namespace`, `topic`, and the text fields of `event`.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a>(pub &'a Envelope);

impl Fields for Event<'_> {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        match path {
            [first] if first == "namespace" => Some(Cow::Borrowed(&self.0.namespace)),
            [first] if first == "topic" => Some(Cow::Borrowed(&self.0.topic)),
            [first, name] if first == "event" => {
                let value = inner(self.0.event.as_ref()?, name)?;
                (!value.is_empty()).then_some(Cow::Owned(value))
            }
            _ => None,
        }
    }
}

/// A text field of an event that this program knows.
fn inner(event: &Any, name: &str) -> Option<String> {
    /// The fields of each message that may be asked for.
    macro_rules! texts {
        ($($message:ident: $($field:ident),+;)+) => {
            $(if any::is::<$message>(event) {
                let message = any::unpack::<$message>(event).ok()?;
                return match name {
                    $(stringify!($field) => Some(message.$field),)+
                    _ => None,
                };
            })+
        };
    }
    texts! {
        TaskCreate: container_id, bundle;
        TaskStart: container_id;
        TaskExit: container_id, id;
        TaskDelete: container_id, id;
        TaskExecAdded: container_id, exec_id;
        TaskExecStarted: container_id, exec_id;
        TaskOom: container_id;
        TaskPaused: container_id;
        TaskResumed: container_id;
        ContainerCreate: id, image;
        ContainerUpdate: id, image, snapshot_key;
        ContainerDelete: id;
        ImageCreate: name;
        ImageUpdate: name;
        ImageDelete: name;
        SnapshotPrepare: key, parent, snapshotter;
        SnapshotCommit: key, name, snapshotter;
        SnapshotRemove: key, snapshotter;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_supervisor_api::prost::Name;

    #[test]
    fn an_unknown_event_has_no_fields_but_its_envelopes() {
        let envelope = Envelope {
            topic: "/x".into(),
            event: Some(Any { type_url: "a.B".into(), value: vec![0xff] }),
            ..Envelope::default()
        };
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(Event(&envelope).field(&path("topic")).as_deref(), Some("/x"));
        assert_eq!(Event(&envelope).field(&path("event.id")), None);
        assert_eq!(TaskExit::full_name(), "containerd.events.TaskExit");
    }
}
