//! What filters can ask of an event.

use contracts_supervisor_api::events::{
    ContainerCreate, ContainerDelete, ContainerUpdate, ContentCreate, ContentDelete,
    NamespaceCreate, NamespaceDelete, NamespaceUpdate, SnapshotCommit, SnapshotPrepare,
    SnapshotRemove, TaskCheckpointed, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted,
    TaskExit, TaskOom, TaskPaused, TaskResumed, TaskStart,
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
            [first, name, rest @ ..] if first == "event" => {
                let value = inner(self.0.event.as_ref()?, name, rest)?;
                (!value.is_empty()).then_some(Cow::Owned(value))
            }
            _ => None,
        }
    }
}

/// A text field of an event that this program knows; `rest` is what the path has behind its name,
/// a label's key with its dots.
fn inner(event: &Any, name: &str, rest: &[String]) -> Option<String> {
    /// The fields of each message that may be asked for; `labels` where a message has them.
    macro_rules! texts {
        ($($message:ident: $($field:ident),* $([$labels:ident])?;)+) => {
            $(if any::is::<$message>(event) {
                let mut message = any::unpack::<$message>(event).ok()?;
                return match (name, rest) {
                    $((stringify!($field), []) => Some(std::mem::take(&mut message.$field)),)*
                    $((stringify!($labels), key) => message.$labels.remove(&key.join(".")),)?
                    _ => None,
                };
            })+
        };
    }
    if any::is::<ContainerCreate>(event) && (name, rest.join(".").as_str()) == ("runtime", "name") {
        return Some(any::unpack::<ContainerCreate>(event).ok()?.runtime?.name);
    }
    texts! {
        TaskCreate: container_id, bundle, checkpoint;
        TaskStart: container_id;
        TaskExit: container_id, id;
        TaskDelete: container_id, id;
        TaskExecAdded: container_id, exec_id;
        TaskExecStarted: container_id, exec_id;
        TaskOom: container_id;
        TaskPaused: container_id;
        TaskResumed: container_id;
        TaskCheckpointed: container_id, checkpoint;
        ContainerCreate: id, image;
        ContainerUpdate: id, image, snapshot_key [labels];
        ContainerDelete: id;
        ContentCreate: digest;
        ContentDelete: digest;
        ImageCreate: name [labels];
        ImageUpdate: name [labels];
        ImageDelete: name;
        NamespaceCreate: name [labels];
        NamespaceUpdate: name [labels];
        NamespaceDelete: name;
        SnapshotPrepare: key, parent, snapshotter;
        SnapshotCommit: key, name, snapshotter;
        SnapshotRemove: key, snapshotter;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_supervisor_api::events::container_create;
    use contracts_supervisor_api::prost::Name;

    #[test]
    fn labels_and_the_runtimes_name_can_be_asked_for() {
        let labels = [("a.b/c".to_owned(), "1".to_owned())].into();
        let event = any::pack(&ImageCreate { name: "n".into(), labels });
        let envelope = Envelope { event: Some(event), ..Envelope::default() };
        let path = |words: &[&str]| words.iter().map(|word| (*word).into()).collect::<Vec<_>>();
        let field = |words: &[&str]| Event(&envelope).field(&path(words)).map(Cow::into_owned);
        assert_eq!(field(&["event", "labels", "a.b/c"]).as_deref(), Some("1"));
        assert_eq!(field(&["event", "labels", "a", "b/c"]).as_deref(), Some("1"));
        assert_eq!(field(&["event", "name"]).as_deref(), Some("n"));
        assert_eq!(field(&["event", "name", "more"]), None);
        let runtime = container_create::Runtime { name: "r".into(), options: None };
        let event = ContainerCreate { runtime: Some(runtime), ..ContainerCreate::default() };
        let envelope = Envelope { event: Some(any::pack(&event)), ..Envelope::default() };
        let name =
            Event(&envelope).field(&path(&["event", "runtime", "name"])).unwrap().into_owned();
        assert_eq!(name, "r");
    }

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
