//! What filters can ask of each sort of record; names as in containerd.

use crate::record::SnapshotRecord;
use contracts_supervisor_api::services::containers::Container;
use contracts_supervisor_api::services::content;
use contracts_supervisor_api::services::images::Image;
use contracts_supervisor_api::services::introspection::Plugin;
use contracts_supervisor_api::services::leases::Lease;
use contracts_supervisor_api::services::namespaces::Namespace;
use contracts_supervisor_api::services::snapshots::Kind;
use std::borrow::Cow;
use std::collections::HashMap;

/// Something that filters select from.
pub trait Fields {
    /// The value at this path; `None` where there is none.
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>>;
}

/// A field that is there when it is not empty.
fn text(value: &str) -> Option<Cow<'_, str>> {
    (!value.is_empty()).then_some(Cow::Borrowed(value))
}

/// A map's entry; the path's rest is its key, dots and all.
fn entry<'a>(map: &'a HashMap<String, String>, path: &[String]) -> Option<Cow<'a, str>> {
    map.get(&path.join(".")).map(|value| Cow::Borrowed(value.as_str()))
}

impl Fields for Container {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        let (first, rest) = path.split_first()?;
        match (first.as_str(), rest) {
            ("id", []) => text(&self.id),
            ("image", []) => text(&self.image),
            ("snapshotter", []) => text(&self.snapshotter),
            ("snapshot_key" | "snapshotkey", []) => text(&self.snapshot_key),
            ("runtime", [name]) if name == "name" => text(&self.runtime.as_ref()?.name),
            ("labels", key) => entry(&self.labels, key),
            _ => None,
        }
    }
}

impl Fields for Image {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        let (first, rest) = path.split_first()?;
        match (first.as_str(), rest) {
            ("name", []) => text(&self.name),
            ("target", [field]) => {
                let target = self.target.as_ref()?;
                match field.as_str() {
                    "digest" => text(&target.digest),
                    "mediatype" => text(&target.media_type),
                    _ => None,
                }
            }
            ("annotations", key) => entry(&self.target.as_ref()?.annotations, key),
            ("labels", key) => entry(&self.labels, key),
            _ => None,
        }
    }
}

impl Fields for content::Info {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        let (first, rest) = path.split_first()?;
        match (first.as_str(), rest) {
            ("digest", []) => text(&self.digest),
            ("size", []) => Some(Cow::Owned(self.size.to_string())),
            ("labels", key) => entry(&self.labels, key),
            _ => None,
        }
    }
}

impl Fields for content::Status {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        match path {
            [first] if first == "ref" => text(&self.r#ref),
            _ => None,
        }
    }
}

impl Fields for SnapshotRecord {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        let (first, rest) = path.split_first()?;
        match (first.as_str(), rest) {
            ("name", []) => text(&self.name),
            ("parent", []) => text(&self.parent),
            ("kind", []) => Some(Cow::Borrowed(match self.kind() {
                Kind::View => "view",
                Kind::Active => "active",
                Kind::Committed => "committed",
                Kind::Unknown => return None,
            })),
            ("labels", key) => entry(&self.labels, key),
            _ => None,
        }
    }
}

impl Fields for Lease {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        let (first, rest) = path.split_first()?;
        match (first.as_str(), rest) {
            ("id", []) => text(&self.id),
            ("labels", key) => entry(&self.labels, key),
            _ => None,
        }
    }
}

impl Fields for Namespace {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        let (first, rest) = path.split_first()?;
        match (first.as_str(), rest) {
            ("name", []) => text(&self.name),
            ("labels", key) => entry(&self.labels, key),
            _ => None,
        }
    }
}

impl Fields for Plugin {
    fn field(&self, path: &[String]) -> Option<Cow<'_, str>> {
        let (first, rest) = path.split_first()?;
        match (first.as_str(), rest) {
            ("type", []) => text(&self.r#type),
            ("id", []) => text(&self.id),
            ("platforms", []) => self
                .platforms
                .first()
                .map(|platform| Cow::Owned(format!("{}/{}", platform.os, platform.architecture))),
            ("capabilities", []) => text(self.capabilities.first()?),
            _ => None,
        }
    }
}
