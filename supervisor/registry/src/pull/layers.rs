//! Downloads and unpacks an image's layers, several at once, and commits them in their order.

use super::Work;
use super::fetch::{Came, OnGrowth};
use crate::documents::{chain_ids, digest_of};
use crate::error::PullError;
use crate::image_store::ImageStore;
use base_ids::Digest;
use base_oci::image::Descriptor;
use std::io::Read;
use std::sync::Arc;
use supervisor_content::labels::Labels;
use supervisor_snapshots::NewSnapshot;
use supervisor_snapshots::extract::{ExtractError, Limits, Whiteouts};
use supervisor_snapshots::layer::{Unpacked, unpack};
use supervisor_snapshots::overlay::Staged;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;

const UNPACKED: &base_faults::Step = base_faults::step("supervisor.pull.layer-unpacked");

/// One layer and its place in the image.
#[derive(Clone)]
struct Layer {
    number: usize,
    descriptor: Descriptor,
    /// The digest of its uncompressed form and its snapshot's name, where it is to be unpacked.
    unpacked: Option<(Digest, Digest)>,
}

/// A layer that is downloaded and, where that was wanted, unpacked.
enum Ready {
    /// It was there.
    Present,
    /// It is downloaded; no more was wanted.
    Downloaded,
    /// A layer without a name yet, and the right to give it one.
    Staged(Box<(Staged, Unpacked)>, OwnedMutexGuard<()>),
}

type Unpacking = oneshot::Receiver<Result<(Staged, Unpacked), PullError>>;

impl Work {
    /// Has all layers in the store and, if wanted, as snapshots; answers the topmost one's name.
    pub(super) async fn layers(
        &self,
        layers: &[Descriptor],
        diff_ids: &[Digest],
        unpack: bool,
    ) -> Result<Option<Digest>, PullError> {
        let chain = chain_ids(diff_ids);
        let downloads = ImageStore::downloads();
        let mut tasks = JoinSet::new();
        for (number, descriptor) in layers.iter().enumerate() {
            let names = diff_ids.get(number).cloned().zip(chain.get(number).cloned());
            let layer = Layer {
                number,
                descriptor: descriptor.clone(),
                unpacked: names.filter(|_| unpack),
            };
            self.progress.layer("waiting", descriptor, 0);
            let (work, downloads) = (self.clone(), Arc::clone(&downloads));
            tasks.spawn(async move {
                let ready = work.layer(&layer, downloads).await;
                ready.map(|ready| (layer.number, ready))
            });
        }
        let mut ready: Vec<Option<Ready>> = Vec::new();
        ready.resize_with(layers.len(), || None);
        let mut next = 0;
        while let Some(finished) = tasks.join_next().await {
            let (number, state) = finished.map_err(|_| PullError::Abandoned)??;
            ready[number] = Some(state);
            while let Some(state) = ready.get_mut(next).and_then(Option::take) {
                let parent = next.checked_sub(1).and_then(|below| chain.get(below));
                let was_present = matches!(state, Ready::Present);
                self.commit(state, parent, chain.get(next)).await?;
                if !was_present {
                    self.progress.layer("complete", &layers[next], 0);
                }
                next += 1;
            }
        }
        Ok(chain.last().filter(|_| unpack).cloned())
    }

    /// Downloads one layer, and unpacks it while it comes.
    async fn layer(&self, layer: &Layer, downloads: Arc<Semaphore>) -> Result<Ready, PullError> {
        let descriptor = &layer.descriptor;
        let mut alone = None;
        if let Some((_, name)) = &layer.unpacked {
            let guard = self.store.shared.locks.lock(format!("layer {name}")).await;
            if !self.has_snapshot(name).await? {
                alone = Some(guard);
            }
        }
        let permit = downloads.acquire_owned().await.map_err(|_| PullError::Abandoned)?;
        let (on_growth, unpacking) = self.offer(layer, alone.is_some());
        let digest = digest_of(descriptor)?;
        let progress = |done| self.progress.layer("downloading", descriptor, done);
        let came = self.blob(descriptor, &format!("layer-{digest}"), on_growth, progress).await?;
        drop(permit);
        if came != Came::Present {
            self.progress.layer("downloaded", descriptor, descriptor.size.cast_unsigned());
        }
        let Some(alone) = alone else {
            if came == Came::Present {
                self.progress.layer("exists", descriptor, 0);
                return Ok(Ready::Present);
            }
            return Ok(Ready::Downloaded);
        };
        self.progress.layer("extracting", descriptor, 0);
        let staged = match (came, unpacking) {
            (Came::ReadAlong, Some(unpacking)) => {
                unpacking.await.map_err(|_| PullError::Abandoned)??
            }
            _ => self.unpack_present(layer).await?,
        };
        self.label(&digest, &staged.1).await?;
        Ok(Ready::Staged(Box::new(staged), alone))
    }

    /// Prepares to unpack a layer while it is downloaded, if there is room for that now.
    fn offer(&self, layer: &Layer, wanted: bool) -> (Option<OnGrowth>, Option<Unpacking>) {
        let reading_along = Arc::clone(&self.store.shared.reading_along);
        let Some(permit) = reading_along.try_acquire_owned().ok().filter(|_| wanted) else {
            return (None, None);
        };
        let (sender, receiver) = oneshot::channel();
        let (work, layer) = (self.clone(), layer.clone());
        let on_growth: OnGrowth = Box::new(move |growth, file| {
            let stream = growth.reader(file, |_| {});
            tokio::task::spawn_blocking(move || {
                let _ = sender.send(work.unpack_into_stage(&layer, stream, permit));
            });
        });
        (Some(on_growth), Some(receiver))
    }

    /// Unpacks a layer from the store.
    async fn unpack_present(&self, layer: &Layer) -> Result<(Staged, Unpacked), PullError> {
        let unpacking = Arc::clone(&self.store.shared.unpacking);
        let permit = unpacking.acquire_owned().await.map_err(|_| PullError::Abandoned)?;
        let (work, layer) = (self.clone(), layer.clone());
        let unpack = move || {
            let digest = digest_of(&layer.descriptor)?;
            let (file, _) = work.store.content.read(&work.namespace, &digest)?;
            let told = work.clone();
            let descriptor = layer.descriptor.clone();
            let growth = crate::growing::Growth::new();
            growth.reached(layer.descriptor.size.cast_unsigned());
            growth.done();
            let tell = move |done| told.progress.layer("extracting", &descriptor, done);
            work.unpack_into_stage(&layer, growth.reader(file, tell), permit)
        };
        tokio::task::spawn_blocking(unpack).await.map_err(|_| PullError::Abandoned)?
    }

    /// Blocks.
    fn unpack_into_stage(
        &self,
        layer: &Layer,
        stream: impl Read + Send,
        _permit: OwnedSemaphorePermit,
    ) -> Result<(Staged, Unpacked), PullError> {
        let Some((diff_id, _)) = &layer.unpacked else { return Err(PullError::Abandoned) };
        let staged = self.store.snapshots.stage()?;
        // The lowest layer has nothing below it to hide.
        let whiteouts = if layer.number == 0 { Whiteouts::Nothing } else { Whiteouts::Overlay };
        let target = staged.directory()?;
        let limits = Limits::default();
        let unpacked = unpack(stream, target, whiteouts, &limits, Some(diff_id)).map_err(
            |source: ExtractError| PullError::Extract {
                digest: layer.descriptor.digest.clone(),
                source,
            },
        )?;
        base_faults::reach(UNPACKED);
        Ok((staged, unpacked))
    }

    /// Notes on a blob what it unpacks to.
    async fn label(&self, digest: &Digest, unpacked: &Unpacked) -> Result<(), PullError> {
        let label = "containerd.io/uncompressed".to_owned();
        let labels: Labels = [(label, unpacked.diff_id.to_string())].into();
        let (namespace, digest) = (self.namespace.clone(), digest.clone());
        self.store
            .with_content(move |content| content.add_labels(&namespace, &digest, &labels))
            .await
    }

    /// Makes an unpacked layer a snapshot, once those below it are.
    async fn commit(
        &self,
        state: Ready,
        parent: Option<&Digest>,
        name: Option<&Digest>,
    ) -> Result<(), PullError> {
        let (Ready::Staged(staged, alone), Some(name)) = (state, name) else { return Ok(()) };
        let (parent, name) =
            (parent.map(ToString::to_string).unwrap_or_default(), name.to_string());
        let (namespace, lease) = (self.namespace.clone(), Arc::clone(&self.lease));
        let commit = move || {
            let labels: Labels = [("containerd.io/snapshot.ref".to_owned(), name.clone())].into();
            let new = NewSnapshot {
                key: &name,
                parent: &parent,
                labels: &labels,
                lease: Some(lease.id()),
            };
            let (staged, unpacked) = *staged;
            let committed = staged.commit(&namespace, new, &unpacked.summary);
            drop(alone);
            committed.map(drop).map_err(PullError::from)
        };
        tokio::task::spawn_blocking(commit).await.map_err(|_| PullError::Abandoned)?
    }

    /// Whether the layer is a snapshot already; the lease keeps it then.
    async fn has_snapshot(&self, name: &Digest) -> Result<bool, PullError> {
        let (snapshots, namespace) = (self.store.snapshots.clone(), self.namespace.clone());
        let (name, lease) = (name.to_string(), Arc::clone(&self.lease));
        let look = move || {
            let there = snapshots.has(&namespace, &name)?;
            if there {
                snapshots.keep_with(&namespace, &name, lease.id())?;
            }
            Ok(there)
        };
        tokio::task::spawn_blocking(look).await.map_err(|_| PullError::Abandoned)?
    }
}
