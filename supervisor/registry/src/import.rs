//! Takes images from an archive that a client streams: an OCI image layout or what `docker save`
//! writes, compressed or not.
//!
//! The files of an archive come in any order, and may come only once: each becomes a blob when it
//! passes, and what it was is found out at the end, from `index.json` or `manifest.json`. Blobs
//! that nothing turns out to refer to go with the next collection.

use crate::documents::{MAX_CONFIG, MAX_MANIFEST};
use crate::error::PullError;
use crate::image_store::ImageStore;
use crate::lease::TransferLease;
use crate::progress::Progress;
use crate::pull::{Destination, Work};
use base_ids::Digest;
use base_ids::reference::Reference;
use base_oci::image::{Descriptor, Index, Manifest, annotation, media_type};
use contracts_supervisor_api::types::transfer::ImageReference;
use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use supervisor_content::labels::Labels;
use supervisor_content::{ContentError, ContentStore, Details};
use supervisor_snapshots::decompress::decompress;
use supervisor_snapshots::extract::{ExtractError, Item, Limits, visit_files};
use tokio::sync::mpsc;

/// Files of one archive.
const MAX_FILES: u64 = 100_000;

/// Bytes read from a file of the archive at once.
const PIECE: usize = 512 << 10;

/// Docker's table of an archive's images.
const DOCKER_TABLE: &str = "manifest.json";

/// One import.
pub(crate) struct Import {
    pub(crate) store: ImageStore,
    pub(crate) namespace: String,
    pub(crate) progress: Progress,
    /// How unnamed and short names are completed.
    pub(crate) names: Vec<ImageReference>,
}

type Bytes = mpsc::Receiver<io::Result<bytes::Bytes>>;

impl Import {
    /// Imports every image of the archive.
    pub(crate) async fn run(
        self,
        bytes: Bytes,
        destination: &Destination,
    ) -> Result<(), PullError> {
        let work = Work {
            lease: Arc::new(TransferLease::begin(&self.store, &self.namespace).await?),
            store: self.store,
            namespace: self.namespace,
            progress: self.progress,
            source: None,
        };
        // Nobody goes on with an archive that broke off: its stream is gone.
        work.lease.release();
        let reader = work.clone();
        let read = move || {
            let place = Place {
                content: &reader.store.content,
                namespace: &reader.namespace,
                lease: reader.lease.id(),
            };
            let mut archive = Contents::read(Incoming::new(bytes), &place)?;
            archive.images(&place).map(|images| (images, archive))
        };
        let (images, archive) =
            tokio::task::spawn_blocking(read).await.map_err(|_| PullError::Abandoned)??;
        drop(archive);
        if images.is_empty() {
            return Err(PullError::Archive("it holds no image"));
        }
        let only = images.len() == 1;
        for Image { target, names } in images {
            work.image(&target, destination).await?;
            let mut all = names;
            if only && !destination.name.is_empty() {
                all = vec![destination.name.clone()];
            }
            if all.is_empty() {
                all.extend(self.names.iter().filter_map(|rule| by_digest(rule, &target)));
            }
            for name in all {
                let labels = &destination.labels;
                work.store.name_image(&work.namespace, &name, &target, labels).await?;
                work.progress.event("saved", &name);
            }
        }
        Ok(())
    }
}

/// The name that a rule gives an image without one.
fn by_digest(rule: &ImageReference, target: &Descriptor) -> Option<String> {
    (rule.is_prefix && rule.add_digest).then(|| format!("{}@{}", rule.name, target.digest))
}

/// An image of an archive.
struct Image {
    target: Descriptor,
    names: Vec<String>,
}

/// Where files go.
struct Place<'a> {
    content: &'a ContentStore,
    namespace: &'a str,
    lease: &'a str,
}

impl Place<'_> {
    fn store(&self, data: &[u8]) -> Result<Digest, PullError> {
        let details = Details { labels: &Labels::new(), lease: Some(self.lease) };
        let reference = format!("import-{}-document", self.lease);
        Ok(self.content.write_all(self.namespace, &reference, data, None, details)?)
    }

    /// Stores a file; one that is there already is only kept by the lease. Nobody will go on with
    /// a file that breaks off.
    fn stream(
        &self,
        name: &str,
        size: u64,
        expected: Option<&Digest>,
        content: &mut dyn Read,
    ) -> Result<Digest, PullError> {
        let reference = format!("import-{}-{name}", self.lease);
        let stored = self.write(&reference, size, expected, content);
        if stored.is_err() {
            let _ = self.content.abort(self.namespace, &reference);
        }
        stored
    }

    fn write(
        &self,
        reference: &str,
        size: u64,
        expected: Option<&Digest>,
        content: &mut dyn Read,
    ) -> Result<Digest, PullError> {
        let mut writer = match self.content.writer(self.namespace, reference, 0, expected) {
            Err(ContentError::Exists(_)) => {
                let digest = expected.cloned().ok_or(PullError::Abandoned)?;
                self.content.keep_with(self.namespace, &digest, Some(self.lease))?;
                return Ok(digest);
            }
            other => other?,
        };
        if writer.data_path().is_some() {
            writer.restart()?;
            let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE).max(1))];
            loop {
                match content.read(&mut piece).map_err(PullError::Stream)? {
                    0 => break,
                    length => writer.write(&piece[..length])?,
                }
            }
        }
        let digest = writer.digest();
        let details = Details { labels: &Labels::new(), lease: Some(self.lease) };
        match writer.commit(0, None, details) {
            Err(ContentError::Exists(_)) => {
                self.content.keep_with(self.namespace, &digest, Some(self.lease))?;
            }
            other => drop(other?),
        }
        Ok(digest)
    }
}

/// What an archive held.
#[derive(Default)]
struct Contents {
    index: Option<Vec<u8>>,
    table: Option<Vec<u8>>,
    /// Digest, length and compression of each file, by name.
    files: HashMap<String, StoredFile>,
    /// Links of old `docker save` archives, to layers that several images share.
    links: HashMap<String, String>,
}

#[derive(Clone)]
struct StoredFile {
    digest: Digest,
    size: u64,
    is_gzip: bool,
}

impl Contents {
    fn read(bytes: Incoming, place: &Place<'_>) -> Result<Self, PullError> {
        let limits = Limits { entries: MAX_FILES, ..Limits::default() };
        let mut contents = Self::default();
        let stream = decompress(bytes).map_err(PullError::Stream)?;
        visit_files(BufReader::with_capacity(PIECE, stream), &limits, |item| {
            contents.take(item, place)
        })?;
        Ok(contents)
    }

    fn take(&mut self, item: Item<'_>, place: &Place<'_>) -> Result<(), PullError> {
        match item {
            Item::File { name: "index.json", content, .. } => {
                self.index = Some(whole(content, MAX_MANIFEST)?);
            }
            Item::File { name: DOCKER_TABLE, content, .. } => {
                self.table = Some(whole(content, MAX_MANIFEST)?);
            }
            Item::File { name: "oci-layout" | "repositories", .. } => {}
            Item::File { name, size, content } => {
                let expected = name
                    .strip_prefix("blobs/sha256/")
                    .map(|hex| format!("sha256:{hex}").parse::<Digest>())
                    .transpose()
                    .map_err(|_| PullError::Archive("a blob's name is no digest"))?;
                let mut content = Sniffed::new(content);
                let digest = place.stream(name, size, expected.as_ref(), &mut content)?;
                let is_gzip = content.is_gzip();
                self.files.insert(name.to_owned(), StoredFile { digest, size, is_gzip });
            }
            Item::Link { name, target } => {
                self.links.insert(name.to_owned(), target.to_owned());
            }
        }
        Ok(())
    }

    /// The archive's images, their documents in the store.
    fn images(&mut self, place: &Place<'_>) -> Result<Vec<Image>, PullError> {
        if let Some(index) = self.index.take() {
            let index: Index = serde_json::from_slice(&index).map_err(PullError::Json)?;
            return index.manifests.into_iter().map(Image::of_layout).collect();
        }
        let table = self.table.take().ok_or(PullError::Archive("it has no table of images"))?;
        let rows: Vec<Row> = serde_json::from_slice(&table).map_err(PullError::Json)?;
        rows.iter().map(|row| self.image(row, place)).collect()
    }

    /// Writes the manifest that `docker save` does not write.
    fn image(&self, row: &Row, place: &Place<'_>) -> Result<Image, PullError> {
        let config = self.find(&row.config)?;
        if config.size > MAX_CONFIG {
            return Err(PullError::Document("its configuration is too large"));
        }
        let layers = row
            .layers
            .iter()
            .map(|name| {
                let file = self.find(name)?;
                let kind = if file.is_gzip { media_type::LAYER_GZIP } else { media_type::LAYER };
                Ok(file.descriptor(kind))
            })
            .collect::<Result<_, PullError>>()?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.to_owned(),
            config: Some(config.descriptor(media_type::CONFIG)),
            layers,
            ..Manifest::default()
        };
        let data = serde_json::to_vec(&manifest).map_err(PullError::Json)?;
        let digest = place.store(&data)?;
        let target = Descriptor {
            media_type: media_type::MANIFEST.to_owned(),
            digest: digest.to_string(),
            size: i64::try_from(data.len()).unwrap_or(i64::MAX),
            ..Descriptor::default()
        };
        let names = row.repo_tags.iter().flatten().map(|name| full_name(name));
        Ok(Image { target, names: names.collect::<Result<_, _>>()? })
    }

    fn find(&self, name: &str) -> Result<&StoredFile, PullError> {
        if let Some(file) = self.files.get(name) {
            return Ok(file);
        }
        let missing = PullError::Archive("its table names a file that it does not have");
        let Some(target) = self.links.get(name) else { return Err(missing) };
        // `../<id>/layer.tar` beside `<id>/layer.tar`.
        self.files.get(target.trim_start_matches("../")).ok_or(missing)
    }
}

impl Image {
    fn of_layout(target: Descriptor) -> Result<Self, PullError> {
        let said = |key| target.annotations.get(key);
        let name = said(annotation::CONTAINERD_IMAGE_NAME).or_else(|| {
            // Mostly a mere tag, which names nothing.
            said(annotation::REF_NAME).filter(|name| name.contains(['/', ':']))
        });
        let names = name.map(|name| full_name(name)).transpose()?.into_iter().collect();
        Ok(Self { target, names })
    }
}

impl StoredFile {
    fn descriptor(&self, media_type: &str) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: self.digest.to_string(),
            size: self.size.cast_signed(),
            ..Descriptor::default()
        }
    }
}

/// A row of Docker's table.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// `busybox` becomes `docker.io/library/busybox:latest`: archives have the short names that
/// people use. What is no name is refused, as by Docker: it would be shown to people.
fn full_name(name: &str) -> Result<String, PullError> {
    Ok(Reference::parse(name).map_err(PullError::Name)?.to_string())
}

fn whole(content: &mut dyn Read, limit: u64) -> Result<Vec<u8>, PullError> {
    let mut data = Vec::new();
    content.take(limit + 1).read_to_end(&mut data).map_err(PullError::Stream)?;
    if data.len() as u64 > limit {
        return Err(PullError::Archive("a document in it is too large"));
    }
    Ok(data)
}

impl From<ExtractError> for PullError {
    fn from(source: ExtractError) -> Self {
        Self::Extract { digest: "of the archive".to_owned(), source }
    }
}

/// Remembers how a file begins.
struct Sniffed<'a> {
    content: &'a mut dyn Read,
    start: Vec<u8>,
}

impl<'a> Sniffed<'a> {
    fn new(content: &'a mut dyn Read) -> Self {
        Self { content, start: Vec::new() }
    }

    fn is_gzip(&self) -> bool {
        self.start.starts_with(&[0x1f, 0x8b])
    }
}

impl Read for Sniffed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        let missing = 2_usize.saturating_sub(self.start.len()).min(length);
        self.start.extend_from_slice(&buffer[..missing]);
        Ok(length)
    }
}

/// A client's bytes, for a thread that may block.
struct Incoming {
    pieces: Bytes,
    piece: bytes::Bytes,
}

impl Incoming {
    fn new(pieces: Bytes) -> Self {
        Self { pieces, piece: bytes::Bytes::new() }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
