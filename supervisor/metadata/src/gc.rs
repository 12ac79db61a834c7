//! Garbage collection: which blobs, snapshots and images nothing keeps any more.
//!
//! Roots are images that have not expired, containers, leases' resources, and blobs and snapshots
//! labelled [`GC_ROOT`]. From them references lead on: an image's to its target, a container's and
//! a snapshot's to its (parent) snapshot, everybody's labels `containerd.io/gc.ref.…`, and from
//! what a label `containerd.io/gc.bref.…` names back to whoever carries it
//! (<https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md>).
//! [`collect`] removes the records that were not reached; the owners of the files then delete
//! what [`Garbage`] names. A crash between the two leaves files without a record, which those
//! owners find when they start.

use crate::record::{LeaseResource, Record, SnapshotRecord};
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
const BACK_REFERENCE: &str = "containerd.io/gc.bref.";
/// How long an active snapshot waits for the container that it is prepared for.
const NEW: i64 = 60;

type Labels = HashMap<String, String>;

/// What has no record any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Digests of blobs that no namespace has.
    pub blobs: Vec<String>,
    /// Numbers of snapshots, children before parents.
    pub snapshots: Vec<u64>,
    /// Expired images: namespace and name.
    pub images: Vec<(String, String)>,
    /// Whether there are layers that only a container's snapshot keeps: they are garbage as soon as
    /// that is removed.
    pub awaits_snapshot: bool,
}

impl Garbage {
    /// Whether there is none now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.snapshots.is_empty() && self.images.is_empty()
    }
}

/// Deletes from disk what no record names. Implemented by the owners of blobs and snapshots.
#[tonic::async_trait]
pub trait Sweep: Send + Sync {
    /// Deletes what belongs to this store; a blob that has a record again by now stays. Failures
    /// are the store's to log: the next start finds what was left.
    async fn sweep(&self, garbage: &Garbage);
}

/// Removes the records of unreachable blobs and snapshots, and expired leases and images.
///
/// # Errors
/// A record cannot be read, or the change not written; then nothing was removed.
pub async fn collect(store: &Store) -> Result<Garbage, Error> {
    let store = store.clone();
    // Everything is read, and what is removed is written: not a worker's business.
    let collected = tokio::task::spawn_blocking(move || {
        store.update_blocking(|tx| remove_unreachable(tx, crate::now().seconds))
    });
    collected.await.unwrap_or(Err(Error::Closed))
}

/// Something that is kept or collected, in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    Blob(String),
    Image(String),
    Snapshot(String),
    Container(String),
}

fn remove_unreachable(tx: &mut Transaction<'_>, now: i64) -> Result<Garbage, Error> {
    let mut graphs: HashMap<String, Graph> = HashMap::new();
    for (namespace, lease) in tx.list_everywhere::<Lease>()? {
        let resources: Vec<LeaseResource> =
            tx.list_below(&namespace, &LeaseResource::prefix(&lease.id))?;
        if has_expired(&lease.labels, now) {
            for resource in resources {
                tx.remove::<LeaseResource>(&namespace, &resource.key())?;
            }
            tx.remove::<Lease>(&namespace, &lease.id)?;
        } else {
            graphs.entry(namespace).or_default().add_lease(&lease, &resources);
        }
    }
    for (namespace, container) in tx.list_everywhere::<Container>()? {
        graphs.entry(namespace).or_default().add_container(&container);
    }
    let images = tx.list_everywhere::<Image>()?;
    for (namespace, image) in &images {
        graphs.entry(namespace.clone()).or_default().add_image(image, now);
    }
    let blobs = tx.list_everywhere::<content::Info>()?;
    for (namespace, blob) in &blobs {
        graphs.entry(namespace.clone()).or_default().add_blob(blob);
    }
    let snapshots = tx.list_everywhere::<SnapshotRecord>()?;
    for (namespace, snapshot) in &snapshots {
        graphs.entry(namespace.clone()).or_default().add_snapshot(snapshot, now);
    }
    let reached: HashMap<String, Reached> =
        graphs.into_iter().map(|(namespace, graph)| (namespace, graph.reached())).collect();
    let is_kept = |namespace: &str, node: &Node| {
        reached.get(namespace).is_some_and(|reached| reached.all.contains(node))
    };

    let mut garbage = Garbage {
        awaits_snapshot: snapshots.iter().any(|(namespace, snapshot)| {
            snapshot.kind() == Kind::Committed
                && reached.get(namespace).is_some_and(|reached| {
                    let node = Node::Snapshot(snapshot.key());
                    reached.all.contains(&node) && !reached.lasting.contains(&node)
                })
        }),
        ..Garbage::default()
    };
    for (namespace, image) in images {
        if !is_kept(&namespace, &Node::Image(image.name.clone())) {
            tx.remove::<Image>(&namespace, &image.name)?;
            garbage.images.push((namespace, image.name));
        }
    }
    let mut named = HashSet::new();
    for (namespace, blob) in blobs {
        if is_kept(&namespace, &Node::Blob(blob.digest.clone())) {
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
        let key = snapshot.key();
        if !is_kept(&namespace, &Node::Snapshot(key.clone())) {
            tx.remove::<SnapshotRecord>(&namespace, &key)?;
            garbage.snapshots.push(snapshot.number);
        }
    }
    // A child is made after its parent, and numbers only grow.
    garbage.snapshots.sort_by(|a, b| b.cmp(a));
    Ok(garbage)
}

/// An expiry that is no time is none, as in containerd.
fn has_expired(labels: &Labels, now: i64) -> bool {
    labels
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

/// What refers to what, in one namespace.
#[derive(Default)]
struct Graph {
    roots: Vec<Node>,
    /// Containers and their snapshots: roots that come and go.
    passing_roots: Vec<Node>,
    /// Roots from which labels do not lead on.
    flat_roots: Vec<Node>,
    /// What something cannot be without: an image's target, a snapshot's parent.
    parts: HashMap<Node, Vec<Node>>,
    /// What clients' labels say, in both directions.
    labels: HashMap<Node, Vec<Node>>,
}

impl Graph {
    fn add_lease(&mut self, lease: &Lease, resources: &[LeaseResource]) {
        let flat = lease.labels.contains_key(GC_FLAT);
        let roots = if flat { &mut self.flat_roots } else { &mut self.roots };
        roots.extend(resources.iter().filter_map(leased));
    }

    fn add_container(&mut self, container: &Container) {
        let node = Node::Container(container.id.clone());
        let key = SnapshotRecord::key_of(&container.snapshotter, &container.snapshot_key);
        let part = (!container.snapshot_key.is_empty()).then_some(Node::Snapshot(key));
        self.passing_roots.push(node.clone());
        self.add(node, part, &container.labels);
    }

    fn add_image(&mut self, image: &Image, now: i64) {
        let node = Node::Image(image.name.clone());
        let part = image.target.as_ref().map(|target| Node::Blob(target.digest.clone()));
        if !has_expired(&image.labels, now) {
            self.roots.push(node.clone());
        }
        self.add(node, part, &image.labels);
    }

    fn add_blob(&mut self, blob: &content::Info) {
        let node = Node::Blob(blob.digest.clone());
        if blob.labels.contains_key(GC_ROOT) {
            self.roots.push(node.clone());
        }
        self.add(node, None, &blob.labels);
    }

    fn add_snapshot(&mut self, snapshot: &SnapshotRecord, now: i64) {
        let node = Node::Snapshot(snapshot.key());
        let age = now - snapshot.created_at.as_ref().map_or(0, |time| time.seconds);
        let awaited = snapshot.kind() != Kind::Committed && age < NEW;
        if awaited || snapshot.labels.contains_key(GC_ROOT) {
            let is_layer = snapshot.kind() == Kind::Committed;
            let roots = if is_layer { &mut self.roots } else { &mut self.passing_roots };
            roots.push(node.clone());
        }
        let parent = SnapshotRecord::key_of(&snapshot.snapshotter, &snapshot.parent);
        let part = (!snapshot.parent.is_empty()).then_some(Node::Snapshot(parent));
        self.add(node, part, &snapshot.labels);
    }

    fn add(&mut self, node: Node, part: Option<Node>, labels: &Labels) {
        for owner in labelled(labels, BACK_REFERENCE) {
            self.labels.entry(owner).or_default().push(node.clone());
        }
        self.labels.entry(node.clone()).or_default().extend(labelled(labels, REFERENCE));
        self.parts.entry(node).or_default().extend(part);
    }

    fn reached(self) -> Reached {
        let both = [&self.parts, &self.labels];
        let mut lasting = HashSet::new();
        follow(self.flat_roots, &both[..1], &mut lasting);
        // What a flat root keeps, another may lead on from.
        let mut led = HashSet::new();
        follow(self.roots, &both, &mut led);
        let mut all = led.clone();
        follow(self.passing_roots, &both, &mut all);
        all.extend(lasting.iter().cloned());
        lasting.extend(led);
        Reached { all, lasting }
    }
}

/// What is kept in one namespace.
struct Reached {
    all: HashSet<Node>,
    /// By more than containers and their snapshots.
    lasting: HashSet<Node>,
}

/// Adds everything that the references lead to from `open`, itself included; what was reached before
/// is not followed again.
fn follow(
    mut open: Vec<Node>,
    references: &[&HashMap<Node, Vec<Node>>],
    reached: &mut HashSet<Node>,
) {
    while let Some(node) = open.pop() {
        if reached.contains(&node) {
            continue;
        }
        open.extend(references.iter().filter_map(|map| map.get(&node)).flatten().cloned());
        reached.insert(node);
    }
}

/// What those of the labels name that start with `prefix`: `PREFIX<sort>` or
/// `PREFIX<sort>.<anything>`, for a snapshot `PREFIXsnapshot.<snapshotter>[/<anything>]`.
fn labelled<'a>(labels: &'a Labels, prefix: &'a str) -> impl Iterator<Item = Node> + 'a {
    labels.iter().filter_map(move |(key, value)| {
        let reference = key.strip_prefix(prefix)?;
        let (sort, rest) = reference.split_once(['.', '/']).unwrap_or((reference, ""));
        match sort {
            "content" => Some(Node::Blob(value.clone())),
            "image" => Some(Node::Image(value.clone())),
            // Containers are never collected, so only the other direction says something.
            "container" if prefix == BACK_REFERENCE => Some(Node::Container(value.clone())),
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
