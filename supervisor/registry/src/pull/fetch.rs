//! Brings blobs in: resumed where an earlier try ended, verified before anybody sees them.

use super::Work;
use crate::documents::digest_of;
use crate::error::{PullError, RegistryError};
use crate::growing::Growth;
use base_errors::{Classify, Kind};
use base_oci::image::Descriptor;
use reqwest::Response;
use std::sync::Arc;
use std::time::Duration;
use supervisor_content::labels::Labels;
use supervisor_content::{ContentError, Details, Writer};

/// Tries in a row that bring nothing.
const TRIES: u32 = 5;

/// The pause after the first failure; doubled after each further one.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes gathered before they are written.
const BATCH: usize = 256 << 10;

/// Who wants to read a blob while it comes in: told once where it grows.
pub(super) type OnGrowth = Box<dyn FnOnce(&Growth, std::fs::File) + Send>;

/// How a blob came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It was there.
    Present,
    /// It was fetched, and nobody could read along to the end.
    Fetched,
    /// It was fetched, and who read along has read it whole and right.
    ReadAlong,
}

impl Work {
    /// Has a blob in the store, kept by the lease.
    pub(super) async fn blob(
        &self,
        descriptor: &Descriptor,
        reference: &str,
        on_growth: Option<OnGrowth>,
        progress: impl Fn(u64),
    ) -> Result<Came, PullError> {
        let digest = digest_of(descriptor)?;
        let _alone = self.store.shared.locks.lock(format!("blob {digest}")).await;
        let Some(writer) = self.begin(descriptor, reference).await? else {
            return Ok(Came::Present);
        };
        let mut download = Download {
            work: self,
            descriptor,
            writer: Some(writer),
            growth: Growth::new(),
            progress: &progress,
        };
        let resumed = download.offset() > 0;
        let reads_along = download.let_read_along(on_growth)?;
        download.run().await?;
        match download.commit().await {
            Err(PullError::Content(ContentError::WrongDigest { .. })) if resumed => {
                // Not the registry's fault yet: power loss may have torn what an earlier try left,
                // or another registry sent it.
                tracing::warn!(%digest, "what was left of an earlier download is wrong: from anew");
                download.growth.failed();
                let Some(writer) = self.begin(descriptor, reference).await? else {
                    return Ok(Came::Fetched);
                };
                download.writer = Some(writer);
                download.run().await?;
                download.commit().await?;
            }
            committed => committed?,
        }
        let was_whole = reads_along && !download.growth.has_failed();
        download.growth.done();
        Ok(if was_whole { Came::ReadAlong } else { Came::Fetched })
    }

    /// A writer for the blob, or `None` if it is there.
    async fn begin(
        &self,
        descriptor: &Descriptor,
        reference: &str,
    ) -> Result<Option<Writer>, PullError> {
        let digest = digest_of(descriptor)?;
        let (namespace, lease) = (self.namespace.clone(), Arc::clone(&self.lease));
        let (reference, total) = (reference.to_owned(), descriptor.size.cast_unsigned());
        let mut added = Labels::new();
        self.add_source(&mut added);
        self.store
            .with_content(move |content| {
                match content.writer(&namespace, &reference, total, Some(&digest)) {
                    Ok(writer) => Ok(Some(writer)),
                    Err(ContentError::Exists(_)) => {
                        content.keep_with(&namespace, &digest, Some(lease.id()))?;
                        content.add_labels(&namespace, &digest, &added)?;
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            })
            .await
    }
}

/// One blob on its way.
struct Download<'a, P> {
    work: &'a Work,
    descriptor: &'a Descriptor,
    /// Away while a blocking thread writes.
    writer: Option<Writer>,
    growth: Growth,
    progress: &'a P,
}

impl<P: Fn(u64)> Download<'_, P> {
    /// Shows the growing file to who wants to read along; tells whether somebody does.
    fn let_read_along(&mut self, on_growth: Option<OnGrowth>) -> Result<bool, PullError> {
        let path = self.writer.as_ref().and_then(Writer::data_path);
        let (Some(on_growth), Some(path)) = (on_growth, path) else { return Ok(false) };
        let file = std::fs::File::open(path)
            .map_err(|source| ContentError::Io { step: "open ingest", source })?;
        self.growth.reached(self.offset());
        on_growth(&self.growth, file);
        Ok(true)
    }

    fn offset(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.status().offset)
    }

    /// Verifies what was downloaded and makes it a blob.
    async fn commit(&mut self) -> Result<(), PullError> {
        let writer = self.writer.take().ok_or(PullError::Abandoned)?;
        let mut labels = Labels::new();
        self.work.add_source(&mut labels);
        let lease = Arc::clone(&self.work.lease);
        let commit = move |_: &_| {
            let details = Details { labels: &labels, lease: Some(lease.id()) };
            match writer.commit(0, None, details) {
                Ok(_) | Err(ContentError::Exists(_)) => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.work.store.with_content(commit).await
    }

    /// Downloads what is missing, again and again while that helps.
    async fn run(&mut self) -> Result<(), PullError> {
        let size = self.descriptor.size.cast_unsigned();
        let mut failures = 0;
        (self.progress)(self.offset());
        while self.offset() < size {
            let before = self.offset();
            let Err(error) = self.attempt().await else { break };
            let PullError::Fetch { source, .. } = &error else { return Err(error) };
            failures = if self.offset() > before { 1 } else { failures + 1 };
            if failures >= TRIES || !may_pass(source) {
                return Err(error);
            }
            tracing::warn!(
                digest = %self.descriptor.digest, error = %base_errors::Chain(source), failures,
                "download is tried again"
            );
            tokio::time::sleep(PAUSE * 2_u32.pow(failures - 1)).await;
        }
        Ok(())
    }

    async fn attempt(&mut self) -> Result<(), PullError> {
        let failed = |source| PullError::Fetch { digest: self.descriptor.digest.clone(), source };
        let Some((registry, _)) = &self.work.source else {
            return Err(PullError::Archive("a blob is missing"));
        };
        let offset = self.offset();
        let (mut response, begins) =
            registry.blob(self.descriptor, offset).await.map_err(failed)?;
        if begins != offset {
            // The registry cannot go on in the middle, and begins again.
            self.growth.failed();
            let mut writer = self.writer.take().ok_or(PullError::Abandoned)?;
            let work = move |_: &_| writer.restart().map(|()| writer);
            self.writer = Some(self.work.store.with_content(work).await?);
        }
        loop {
            let (batch, ended) = gather(&mut response).await;
            if !batch.is_empty() {
                self.write(batch).await?;
            }
            match ended {
                None => {}
                Some(Ok(())) => break,
                Some(Err(error)) => {
                    let url = response.url().as_str();
                    return Err(failed(RegistryError::unreachable("Get", url, error)));
                }
            }
        }
        if self.offset() < self.descriptor.size.cast_unsigned() {
            let failed =
                |source| PullError::Fetch { digest: self.descriptor.digest.clone(), source };
            return Err(failed(RegistryError::Nonsense("ended a blob too early")));
        }
        Ok(())
    }

    async fn write(&mut self, batch: Vec<bytes::Bytes>) -> Result<(), PullError> {
        let mut writer = self.writer.take().ok_or(PullError::Abandoned)?;
        let writer = self
            .work
            .store
            .with_content(move |_| {
                for piece in &batch {
                    writer.write(piece)?;
                }
                Ok(writer)
            })
            .await?;
        self.growth.reached(writer.status().offset);
        (self.progress)(writer.status().offset);
        self.writer = Some(writer);
        Ok(())
    }
}

/// The next pieces of an answer, and whether and how it ended.
async fn gather(
    response: &mut Response,
) -> (Vec<bytes::Bytes>, Option<Result<(), reqwest::Error>>) {
    let (mut pieces, mut length) = (Vec::new(), 0);
    while length < BATCH {
        match response.chunk().await {
            Ok(Some(piece)) => {
                length += piece.len();
                pieces.push(piece);
            }
            Ok(None) => return (pieces, Some(Ok(()))),
            Err(error) => return (pieces, Some(Err(error))),
        }
    }
    (pieces, None)
}

/// Whether the same request may succeed later.
fn may_pass(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Nonsense(_) | RegistryError::TooManyRequests(_))
        || error.kind() == Kind::Unavailable
}
