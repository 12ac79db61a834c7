//! What transfers work on: blobs, snapshots and image records, and the locks between transfers.

use crate::error::PullError;
use crate::locks::Locks;
use base_oci::image::Descriptor;
use contracts_supervisor_api::services::images::{Image, ImageCreate, ImageUpdate};
use contracts_supervisor_api::{topics, types};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use supervisor_content::labels::Labels;
use supervisor_content::{ContentStore, request};
use supervisor_events::Exchange;
use supervisor_metadata::{Record, Store};
use supervisor_snapshots::Overlay;
use tokio::sync::Semaphore;

/// Blobs that one pull downloads at once, as many as Docker.
const DOWNLOADS: usize = 3;

/// Layers that are unpacked at once, each by a thread of its own, and half of the runtime's for
/// what blocks at most; the same number may be unpacked while they come in.
const UNPACKING: usize = 4;

/// How long a registry's answer may stand still.
const STALL: Duration = Duration::from_secs(60);

/// The stores, and what transfers share. Cheap to clone.
#[derive(Clone)]
pub struct ImageStore {
    pub(crate) content: ContentStore,
    pub(crate) snapshots: Overlay,
    pub(crate) records: Store,
    pub(crate) events: Exchange,
    pub(crate) shared: Arc<Shared>,
    /// How long a registry's answer may stand still.
    pub(crate) stall: Duration,
    /// Told when a transfer has ended, and may have left something that nothing keeps.
    pub(crate) ended: Arc<dyn Fn() + Send + Sync>,
}

/// What all transfers have in common.
pub(crate) struct Shared {
    /// One holder per blob and per layer.
    pub(crate) locks: Locks,
    /// Layers that are unpacked from the store.
    pub(crate) unpacking: Arc<Semaphore>,
    /// Layers that are unpacked while they come in: a registry that stalls must not keep those
    /// from being unpacked that are there.
    pub(crate) reading_along: Arc<Semaphore>,
}

impl ImageStore {
    /// A store of images over these.
    #[must_use]
    pub fn new(
        content: ContentStore,
        snapshots: Overlay,
        records: Store,
        events: Exchange,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let permits = || Arc::new(Semaphore::new(cores.clamp(2, UNPACKING)));
        let shared = Arc::new(Shared {
            locks: Locks::default(),
            unpacking: permits(),
            reading_along: permits(),
        });
        let ended: Arc<dyn Fn() + Send + Sync> = Arc::new(|| {});
        Self { content, snapshots, records, events, shared, stall: STALL, ended }
    }

    /// Has `told` called when a transfer has ended: what it replaced or left unfinished is garbage
    /// then.
    #[must_use]
    pub fn when_ended(mut self, told: impl Fn() + Send + Sync + 'static) -> Self {
        self.ended = Arc::new(told);
        self
    }

    /// Waits so long for a registry whose answer stands still, and not a minute.
    #[must_use]
    pub fn stalls_after(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// How many blobs a new pull may download at once.
    pub(crate) fn downloads() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(DOWNLOADS))
    }

    /// Runs `work` on the content store, on a thread that may block.
    pub(crate) async fn with_content<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ContentStore) -> Result<T, supervisor_content::ContentError> + Send + 'static,
    ) -> Result<T, PullError> {
        let content = self.content.clone();
        let done = tokio::task::spawn_blocking(move || work(&content)).await;
        Ok(done.map_err(|_| PullError::Abandoned)??)
    }

    /// Gives an image its name, or the name a new target.
    pub(crate) async fn name_image(
        &self,
        namespace: &str,
        name: &str,
        target: &Descriptor,
        labels: &HashMap<String, String>,
    ) -> Result<(), PullError> {
        let now = Some(supervisor_metadata::now());
        let mut image = Image {
            name: name.to_owned(),
            labels: labels.clone(),
            target: Some(wire(target)),
            created_at: now,
            updated_at: now,
        };
        let is_new = self
            .records
            .update(|records| {
                let old = records.find::<Image>(namespace, &image.key())?;
                if let Some(old) = &old {
                    image.created_at = old.created_at;
                    if labels.is_empty() {
                        image.labels.clone_from(&old.labels);
                    }
                    records.put(namespace, &image)?;
                } else {
                    records.insert(namespace, &image)?;
                }
                Ok::<_, supervisor_metadata::Error>(old.is_none())
            })
            .await?;
        let (name, labels) = (name.to_owned(), labels.clone());
        if is_new {
            let event = ImageCreate { name, labels };
            self.events.publish(namespace, topics::IMAGE_CREATE, &event);
        } else {
            let event = ImageUpdate { name, labels };
            self.events.publish(namespace, topics::IMAGE_UPDATE, &event);
        }
        Ok(())
    }
}

/// The label that says from where a blob came, so that it can be mounted there again. As in
/// containerd, the host is without its port.
pub(crate) fn source_label(host: &str, repository: &str) -> Labels {
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    [(format!("containerd.io/distribution.source.{host}"), repository.to_owned())].into()
}

/// The labels of an index or manifest that keep what it refers to from collection.
pub(crate) fn child_labels(config: Option<&Descriptor>, layers: &[Descriptor]) -> Labels {
    const REFERENCE: &str = "containerd.io/gc.ref.content";
    let mut labels: Labels = layers
        .iter()
        .enumerate()
        .map(|(number, layer)| (format!("{REFERENCE}.l.{number}"), layer.digest.clone()))
        .collect();
    if let Some(config) = config {
        labels.insert(format!("{REFERENCE}.config"), config.digest.clone());
    }
    labels
}

/// The same for the manifests of an index.
pub(crate) fn manifest_labels(manifests: &[Descriptor]) -> Labels {
    manifests
        .iter()
        .enumerate()
        .map(|(number, manifest)| {
            (format!("containerd.io/gc.ref.content.m.{number}"), manifest.digest.clone())
        })
        .collect()
}

/// A descriptor as it crosses gRPC.
pub(crate) fn wire(descriptor: &Descriptor) -> types::Descriptor {
    types::Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        annotations: descriptor.annotations.clone().into_iter().collect(),
    }
}

/// Answers an error as gRPC does.
pub(crate) fn status(error: &PullError) -> tonic::Status {
    contracts_supervisor_api::status::of(error)
}

pub(crate) use request::namespace as namespace_of;
