//! Pulls an image: resolve, documents, layers, name.
//!
//! ```text
//!   reference ──resolve──▶ index ──platform──▶ manifest ──▶ config
//!                                                 │
//!        layer 0   download ═╗                    │      downloads: three at once;
//!        layer 1   download ═╬═ unpack, staged    │      unpacking: as the bytes arrive,
//!        layer 2   download ═╝        │           │      one per core, in any order
//!                                     ▼           ▼
//!                          commit in order ──▶ name the image
//! ```
//!
//! A lease keeps everything until the name is written, which comes last: an image that has a name
//! is whole.

mod fetch;
mod layers;

use crate::client::{CredentialSource, Registry};
use crate::documents::{self, Document, MAX_CONFIG, MAX_MANIFEST};
use crate::error::{PullError, RegistryError};
use crate::hosts::Options;
use crate::image_store::{ImageStore, child_labels, manifest_labels, source_label};
use crate::lease::TransferLease;
use crate::platform;
use crate::progress::Progress;
use crate::reference::Reference;
use base_errors::{Classify, Kind};
use base_ids::Digest;
use base_oci::image::{Descriptor, Manifest, Platform};
use std::collections::HashMap;
use std::sync::Arc;
use supervisor_content::Details;
use supervisor_content::labels::Labels;

const RESOLVED: &base_faults::Step = base_faults::step("supervisor.pull.resolved");
const WHOLE: &base_faults::Step = base_faults::step("supervisor.pull.whole");
const NAMED: &base_faults::Step = base_faults::step("supervisor.pull.named");

/// What an image becomes in the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Destination {
    pub(crate) name: String,
    pub(crate) labels: HashMap<String, String>,
    /// What is fetched; empty for this machine's.
    pub(crate) platforms: Vec<Platform>,
    /// What is unpacked.
    pub(crate) unpack: Vec<Platform>,
}

/// One pull.
pub(crate) struct Pull {
    pub(crate) store: ImageStore,
    pub(crate) namespace: String,
    pub(crate) reference: Reference,
    /// The reference as the client wrote it.
    pub(crate) text: String,
    pub(crate) options: Options,
    pub(crate) credentials: Arc<dyn CredentialSource>,
    pub(crate) progress: Progress,
}

/// What the parts of one pull or import have in common.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) store: ImageStore,
    pub(crate) namespace: String,
    pub(crate) lease: Arc<TransferLease>,
    pub(crate) progress: Progress,
    /// Where blobs come from that are not there yet, and what is noted on them.
    pub(crate) source: Option<(Arc<Registry>, Labels)>,
}

impl Pull {
    /// Pulls, and answers what the name stands for now.
    pub(crate) async fn run(self, destination: &Destination) -> Result<Descriptor, PullError> {
        let resolve = |source| PullError::Resolve { reference: self.text.clone(), source };
        self.progress.event("resolving", &self.text);
        let registry = self.registry().await.map_err(resolve)?;
        let root = registry.resolve().await.map_err(resolve)?;
        base_faults::reach(RESOLVED);
        let labels = source_label(self.reference.host(), self.reference.repository());
        let work = Work {
            lease: Arc::new(TransferLease::begin(&self.store, &self.namespace).await?),
            store: self.store,
            namespace: self.namespace,
            progress: self.progress,
            source: Some((Arc::new(registry), labels)),
        };
        let done = work.finish(&root, destination).await;
        if done.as_ref().err().is_none_or(|error| error.kind() == Kind::ResourceExhausted) {
            // All is named; or the disk is full, and what was stored would keep it so.
            work.lease.release();
        }
        done?;
        work.progress.event("complete", &self.text);
        Ok(root)
    }

    /// Reads configuration and certificates, which blocks.
    async fn registry(&self) -> Result<Registry, RegistryError> {
        let (reference, options) = (self.reference.clone(), self.options.clone());
        let credentials = Arc::clone(&self.credentials);
        let made = move || Registry::new(&reference, &options, &credentials);
        tokio::task::spawn_blocking(made)
            .await
            .map_err(|_| RegistryError::Nonsense("client was abandoned"))?
    }
}

impl Work {
    /// Brings in an image and gives it its name, which is the last thing that it gets.
    async fn finish(&self, root: &Descriptor, destination: &Destination) -> Result<(), PullError> {
        self.image(root, destination).await?;
        base_faults::reach(WHOLE);
        let (namespace, name) = (&self.namespace, &destination.name);
        self.store.name_image(namespace, name, root, &destination.labels).await?;
        base_faults::reach(NAMED);
        Ok(())
    }

    /// Brings in everything that `root` leads to for the wanted platforms, and unpacks it.
    pub(crate) async fn image(
        &self,
        root: &Descriptor,
        destination: &Destination,
    ) -> Result<(), PullError> {
        let mut wanted = destination.platforms.clone();
        if wanted.is_empty() {
            wanted.push(destination.unpack.first().cloned().unwrap_or_else(platform::host));
        }
        match self.document(root).await? {
            Document::Manifest(manifest) => {
                self.manifest(root, &manifest, !destination.unpack.is_empty()).await
            }
            Document::Index(index) => {
                let mut chosen: Vec<(&Descriptor, bool)> = Vec::new();
                for platform in &wanted {
                    let Some(entry) = platform::select(&index.manifests, platform) else {
                        continue;
                    };
                    if chosen.iter().any(|(other, _)| other.digest == entry.digest) {
                        continue;
                    }
                    let unpack = destination.unpack.iter().any(|unpack| {
                        entry
                            .platform
                            .as_ref()
                            .is_some_and(|own| platform::fit(own, unpack).is_some())
                    });
                    chosen.push((entry, unpack));
                }
                if chosen.is_empty() {
                    return Err(PullError::NoPlatform { digest: root.digest.clone() });
                }
                for (entry, unpack) in chosen {
                    match self.document(entry).await? {
                        Document::Manifest(manifest) => {
                            self.manifest(entry, &manifest, unpack).await?;
                        }
                        Document::Index(_) => {
                            return Err(PullError::Document("an index leads to another"));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Has a manifest or index in the store, labelled with what it refers to, and parses it.
    async fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        let digest = documents::digest_of(descriptor)?;
        if descriptor.size.cast_unsigned() > MAX_MANIFEST {
            return Err(PullError::Document("it is too large"));
        }
        let present = self.present(&digest, MAX_MANIFEST).await?;
        let data = match (present, &self.source) {
            (Some(data), _) => data,
            (None, Some((registry, _))) => {
                let wrap = |source| PullError::Fetch { digest: digest.to_string(), source };
                registry.manifest(descriptor, MAX_MANIFEST).await.map_err(wrap)?
            }
            (None, None) => return Err(PullError::Archive("a manifest is missing")),
        };
        let document = documents::parse(&descriptor.media_type, &data)?;
        let (prefix, mut labels) = match &document {
            Document::Index(index) => ("index", manifest_labels(&index.manifests)),
            Document::Manifest(manifest) => {
                ("manifest", child_labels(manifest.config.as_ref(), &manifest.layers))
            }
        };
        self.add_source(&mut labels);
        let reference = format!("{prefix}-{digest}");
        self.keep(reference, data, digest, labels).await?;
        Ok(document)
    }

    /// Brings in an image's configuration and layers.
    async fn manifest(
        &self,
        descriptor: &Descriptor,
        manifest: &Manifest,
        unpack: bool,
    ) -> Result<(), PullError> {
        let config = manifest.config.as_ref().ok_or(PullError::Document("it has no config"))?;
        let digest = documents::digest_of(config)?;
        if config.size.cast_unsigned() > MAX_CONFIG {
            return Err(PullError::Document("its configuration is too large"));
        }
        self.blob(config, &format!("config-{digest}"), None, |_| {}).await?;
        let (namespace, wanted) = (self.namespace.clone(), digest.clone());
        let data = self
            .store
            .with_content(move |content| content.read_all(&namespace, &wanted, MAX_CONFIG))
            .await?;
        // Something else than an image of layers (an artifact) is stored as it is.
        let is_image = base_oci::image::media_type::is_config(&config.media_type);
        let diff_ids = match documents::diff_ids(&data, manifest.layers.len()) {
            Ok(diff_ids) => diff_ids,
            Err(error) if unpack && is_image => return Err(error),
            Err(_) => Vec::new(),
        };
        let top = self.layers(&manifest.layers, &diff_ids, unpack && is_image).await?;
        if let Some(top) = top {
            let label = "containerd.io/gc.ref.snapshot.overlayfs".to_owned();
            let labels: Labels = [(label, top.to_string())].into();
            let namespace = self.namespace.clone();
            self.store
                .with_content(move |content| content.add_labels(&namespace, &digest, &labels))
                .await?;
        }
        tracing::debug!(manifest = %descriptor.digest, "image is in the store");
        Ok(())
    }

    /// A small blob that the store has already, kept by the lease from now on.
    async fn present(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, PullError> {
        let (namespace, lease) = (self.namespace.clone(), Arc::clone(&self.lease));
        let digest = digest.clone();
        self.store
            .with_content(move |content| {
                if content.find(&namespace, &digest)?.is_none() {
                    return Ok(None);
                }
                content.keep_with(&namespace, &digest, Some(lease.id()))?;
                content.read_all(&namespace, &digest, limit).map(Some)
            })
            .await
    }

    /// Stores a small blob, verified.
    async fn keep(
        &self,
        reference: String,
        data: Vec<u8>,
        digest: Digest,
        labels: Labels,
    ) -> Result<(), PullError> {
        let _alone = self.store.shared.locks.lock(format!("blob {digest}")).await;
        let (namespace, lease) = (self.namespace.clone(), Arc::clone(&self.lease));
        self.store
            .with_content(move |content| {
                let details = Details { labels: &labels, lease: Some(lease.id()) };
                content.write_all(&namespace, &reference, &data, Some(&digest), details)
            })
            .await
            .map(drop)
    }

    fn add_source(&self, labels: &mut Labels) {
        if let Some((_, source)) = &self.source {
            labels.extend(source.clone());
        }
    }
}
