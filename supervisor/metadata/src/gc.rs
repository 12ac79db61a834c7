//! Garbage collection: which blobs and snapshots nothing refers to any more.
//!
//! Roots are images, containers, leases' resources, and blobs and snapshots labelled [`GC_ROOT`].
//! From them references lead on: an image's to its target, a container's and a snapshot's to its
//! (parent) snapshot, and everybody's labels `containerd.io/gc.ref.…`
//! (<https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md>).
//! [`collect`] removes the records that were not reached; the owners of the files then delete
//! what [`Garbage`] names. A crash between the two leaves files without a record, which those
//! owners find when they start.

use crate::record::{LeaseResource, SnapshotRecord};
use crate::store::{Error, Store, Transaction};
use contracts_supervisor_api::labels::{GC_EXPIRE, GC_FLAT, GC_ROOT};
use contracts_supervisor_api::services::containers::Container;
use contracts_supervisor_api::services::content;
use contracts_supervisor_api::services::images::Image;
use contracts_supervisor_api::services::leases::Lease;
use contracts_supervisor_api::services::snapshots::Kind;
use prost_types::Timestamp;
use std::collections::{HashMap, HashSet};

pub use contracts_supervisor_api::labels::GC_EXPIRE as EXPIRE;

const REFERENCE: &str = "containerd.io/gc.ref.";
/// How long an active snapshot waits for the container that it is prepared for.
const NEW: i64 = 60;

/// What has no record any more, in any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Digests of blobs.
    pub blobs: Vec<String>,
    /// Numbers of snapshots, children before parents.
    pub snapshots: Vec<u64>,
}

/// Deletes from disk what no record names. Implemented by the owners of blobs and snapshots.
#[tonic::async_trait]
pub trait Sweep: Send + Sync {
    /// Deletes what belongs to this store; a blob that has a record again by now stays. Failures
    /// are the store's to log: the next start finds what was left.
    async fn sweep(&self, garbage: &Garbage);
}

/// Removes the records of unreachable blobs and snapshots, and expired leases.
///
/// # Errors
/// A record cannot be read, or the change not written; then nothing was removed.
pub async fn collect(store: &Store) -> Result<Garbage, Error> {
    store.update(|tx| remove_unreachable(tx, crate::now().seconds)).await
}

/// A blob, image or snapshot of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    Blob(String),
    Image(String),
    Snapshot(String),
}

fn remove_unreachable(tx: &mut Transaction<'_>, now: i64) -> Result<Garbage, Error> {
    let mut namespaces: HashMap<String, Graph> = HashMap::new();
    for (namespace, lease) in tx.list_everywhere::<Lease>()? {
        let resources: Vec<LeaseResource> =
            tx.list_below(&namespace, &LeaseResource::prefix(&lease.id))?;
        if has_expired(&lease, now) {
            for resource in resources {
                let key = crate::Record::key(&resource);
                tx.remove::<LeaseResource>(&namespace, &key)?;
            }
            tx.remove::<Lease>(&namespace, &lease.id)?;
        } else {
            let graph = namespaces.entry(namespace).or_default();
            let flat = lease.labels.contains_key(GC_FLAT);
            for node in resources.iter().filter_map(leased) {
                if flat {
                    graph.kept.push(node);
                } else {
                    graph.roots.push(node);
                }
            }
        }
    }
    for (namespace, container) in tx.list_everywhere::<Container>()? {
        namespaces.entry(namespace).or_default().add_container(&container);
    }
    for (namespace, image) in tx.list_everywhere::<Image>()? {
        namespaces.entry(namespace).or_default().add_image(&image);
    }
    let blobs = tx.list_everywhere::<content::Info>()?;
    for (namespace, blob) in &blobs {
        namespaces.entry(namespace.clone()).or_default().add_blob(blob);
    }
    let snapshots = tx.list_everywhere::<SnapshotRecord>()?;
    for (namespace, snapshot) in &snapshots {
        namespaces.entry(namespace.clone()).or_default().add_snapshot(snapshot, now);
    }
    let reached: HashMap<String, HashSet<Node>> =
        namespaces.into_iter().map(|(namespace, graph)| (namespace, graph.reached())).collect();
    let is_reached = |namespace: &str, node: &Node| {
        reached.get(namespace).is_some_and(|nodes| nodes.contains(node))
    };

    let mut garbage = Garbage::default();
    let mut named = HashSet::new();
    for (namespace, blob) in blobs {
        if is_reached(&namespace, &Node::Blob(blob.digest.clone())) {
            named.insert(blob.digest);
        } else {
            tx.remove::<content::Info>(&namespace, &blob.digest)?;
            garbage.blobs.push(blob.digest);
        }
    }
    garbage.blobs.retain(|digest| !named.contains(digest));
    garbage.blobs.sort();
    garbage.blobs.dedup();
    for (namespace, snapshot) in snapshots {
        let key = crate::Record::key(&snapshot);
        if !is_reached(&namespace, &Node::Snapshot(key.clone())) {
            tx.remove::<SnapshotRecord>(&namespace, &key)?;
            garbage.snapshots.push(snapshot.number);
        }
    }
    // A child is made after its parent, and numbers only grow.
    garbage.snapshots.sort_by(|a, b| b.cmp(a));
    Ok(garbage)
}

fn has_expired(lease: &Lease, now: i64) -> bool {
    lease
        .labels
        .get(GC_EXPIRE)
        .and_then(|time| time.parse::<Timestamp>().ok())
        .is_some_and(|time| time.seconds < now)
}

fn leased(resource: &LeaseResource) -> Option<Node> {
    match resource.r#type.as_str() {
        "content" => Some(Node::Blob(resource.id.clone())),
        "images" => Some(Node::Image(resource.id.clone())),
        other => other
            .strip_prefix("snapshots/")
            .map(|snapshotter| Node::Snapshot(SnapshotRecord::key_of(snapshotter, &resource.id))),
    }
}

/// What is referred to from where, in one namespace.
#[derive(Default)]
struct Graph {
    roots: Vec<Node>,
    /// Reached, but not followed.
    kept: Vec<Node>,
    references: HashMap<Node, Vec<Node>>,
}

impl Graph {
    fn add_container(&mut self, container: &Container) {
        if !container.snapshot_key.is_empty() {
            let key = SnapshotRecord::key_of(&container.snapshotter, &container.snapshot_key);
            self.roots.push(Node::Snapshot(key));
        }
        self.roots.extend(labelled(&container.labels));
    }

    fn add_image(&mut self, image: &Image) {
        let node = Node::Image(image.name.clone());
        let target = image.target.iter().map(|target| Node::Blob(target.digest.clone()));
        self.references.insert(node.clone(), target.chain(labelled(&image.labels)).collect());
        self.roots.push(node);
    }

    fn add_blob(&mut self, blob: &content::Info) {
        let node = Node::Blob(blob.digest.clone());
        if blob.labels.contains_key(GC_ROOT) {
            self.roots.push(node.clone());
        }
        self.references.insert(node, labelled(&blob.labels).collect());
    }

    fn add_snapshot(&mut self, snapshot: &SnapshotRecord, now: i64) {
        let node = Node::Snapshot(crate::Record::key(snapshot));
        let age = now - snapshot.created_at.as_ref().map_or(0, |time| time.seconds);
        let awaited = snapshot.kind() != Kind::Committed && age < NEW;
        if awaited || snapshot.labels.contains_key(GC_ROOT) {
            self.roots.push(node.clone());
        }
        let mut references: Vec<Node> = labelled(&snapshot.labels).collect();
        if !snapshot.parent.is_empty() {
            let parent = SnapshotRecord::key_of(&snapshot.snapshotter, &snapshot.parent);
            references.push(Node::Snapshot(parent));
        }
        self.references.insert(node, references);
    }

    fn reached(self) -> HashSet<Node> {
        let mut reached = HashSet::new();
        let mut open = self.roots;
        while let Some(node) = open.pop() {
            if reached.contains(&node) {
                continue;
            }
            open.extend(self.references.get(&node).into_iter().flatten().cloned());
            reached.insert(node);
        }
        reached.extend(self.kept);
        reached
    }
}

/// What a record's labels refer to.
fn labelled(labels: &HashMap<String, String>) -> impl Iterator<Item = Node> {
    labels.iter().filter_map(|(key, value)| {
        let reference = key.strip_prefix(REFERENCE)?;
        let (sort, rest) = reference.split_once(['.', '/']).unwrap_or((reference, ""));
        match sort {
            "content" => Some(Node::Blob(value.clone())),
            "image" => Some(Node::Image(value.clone())),
            "snapshot" => {
                let snapshotter = rest.split('/').next().unwrap_or(rest);
                Some(Node::Snapshot(SnapshotRecord::key_of(snapshotter, value)))
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests;
