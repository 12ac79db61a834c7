//! Manifests, indexes and configurations as registries send them: hostile until checked.

use crate::error::PullError;
use base_ids::Digest;
use base_oci::image::{Descriptor, ImageConfig, Index, Manifest, media_type};

/// The largest manifest or index accepted (distribution-spec's advice, and Docker's bound).
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;

/// The largest configuration accepted.
pub(crate) const MAX_CONFIG: u64 = 8 << 20;

/// Entries of one index, or layers of one manifest.
const MAX_ENTRIES: usize = 1000;

/// What a manifest request says that we understand.
pub(crate) const ACCEPT: &str = concat!(
    "application/vnd.docker.distribution.manifest.v2+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.oci.image.index.v1+json, */*"
);

/// A parsed document that a reference can lead to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, taken apart at once")]
pub(crate) enum Document {
    Index(Index),
    Manifest(Manifest),
}

/// Parses what the media type says it is. One that could be read both ways is refused
/// (CVE-2021-41190).
pub(crate) fn parse(kind: &str, data: &[u8]) -> Result<Document, PullError> {
    if kind.starts_with("application/vnd.docker.distribution.manifest.v1+") {
        return Err(PullError::Schema1);
    }
    let shape: Shape = json(data)?;
    if shape.schema_version != Some(2) {
        return Err(match shape.schema_version {
            Some(1) => PullError::Schema1,
            _ => PullError::Document("it has no known schema version"),
        });
    }
    if shape.media_type.as_deref().is_some_and(|inside| !inside.is_empty() && inside != kind) {
        return Err(PullError::Document("its media type is not the one that it came with"));
    }
    if media_type::is_index(kind) {
        if shape.config.is_some() || shape.layers.is_some() {
            return Err(PullError::Document("it is an index with layers"));
        }
        let index: Index = json(data)?;
        check_descriptors(&index.manifests)?;
        return Ok(Document::Index(index));
    }
    if media_type::is_manifest(kind) {
        if shape.manifests.is_some() {
            return Err(PullError::Document("it is a manifest with manifests"));
        }
        let manifest: Manifest = json(data)?;
        check_descriptors(&manifest.layers)?;
        check_descriptors(manifest.config.as_slice())?;
        return Ok(Document::Manifest(manifest));
    }
    Err(PullError::MediaType(kind.chars().take(200).collect()))
}

/// Parses an image's configuration and tells its layers' uncompressed digests.
pub(crate) fn diff_ids(data: &[u8], layers: usize) -> Result<Vec<Digest>, PullError> {
    let config: ImageConfig = json(data)?;
    let diff_ids = config.rootfs.map(|rootfs| rootfs.diff_ids).unwrap_or_default();
    if diff_ids.len() != layers {
        return Err(PullError::Document("its configuration has another number of layers"));
    }
    let parse = |text: &String| text.parse().map_err(|_| PullError::Document("a bad diff id"));
    diff_ids.iter().map(parse).collect()
}

/// The names under which snapshots of the layers are found: each stands for its layer and all
/// below it (image-spec, config.md, "Layer ChainID").
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    use sha2::{Digest as _, Sha256};
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(parent) => {
                let hash = Sha256::digest(format!("{parent} {diff_id}").as_bytes());
                Digest::from_sha256(&hash.into())
            }
        });
    }
    chain
}

/// The digest of a descriptor that was checked.
pub(crate) fn digest_of(descriptor: &Descriptor) -> Result<Digest, PullError> {
    descriptor.digest.parse().map_err(|_| PullError::Document("a bad digest"))
}

fn check_descriptors(descriptors: &[Descriptor]) -> Result<(), PullError> {
    if descriptors.len() > MAX_ENTRIES {
        return Err(PullError::Document("it has too many entries"));
    }
    for descriptor in descriptors {
        digest_of(descriptor)?;
        if descriptor.size < 0 {
            return Err(PullError::Document("a size is negative"));
        }
    }
    Ok(())
}

/// The parts that tell what a document is.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<i64>,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

fn json<T: serde::de::DeserializeOwned>(data: &[u8]) -> Result<T, PullError> {
    serde_json::from_slice(data).map_err(PullError::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_with_two_meanings_are_refused() {
        for (kind, text) in [
            (media_type::INDEX, r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#),
            (media_type::MANIFEST, r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#),
            (
                media_type::MANIFEST,
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#,
            ),
            (media_type::MANIFEST, r#"{"layers":[]}"#),
            (media_type::MANIFEST, "[]"),
            ("text/plain", r#"{"schemaVersion":2}"#),
            (
                media_type::INDEX,
                r#"{"schemaVersion":2,"manifests":[{"mediaType":"","digest":"../x","size":1}]}"#,
            ),
        ] {
            assert!(parse(kind, text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_old_schema_is_refused_by_name() {
        for (kind, text) in [
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}"),
            (media_type::DOCKER_MANIFEST, r#"{"schemaVersion":1}"#),
        ] {
            assert!(matches!(parse(kind, text.as_bytes()), Err(PullError::Schema1)));
        }
    }

    #[test]
    fn a_chain_id_stands_for_all_layers_below() {
        let ids: Vec<Digest> = ["11", "22"]
            .iter()
            .map(|byte| format!("sha256:{}", byte.repeat(32)).parse().unwrap())
            .collect();
        let chain = chain_ids(&ids);
        assert_eq!(chain[0], ids[0]);
        assert_ne!(chain[1], ids[1]);
        assert_eq!(chain_ids(&ids[..1]), chain[..1]);
    }
}
