//! `GET /images/json`.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use crate::oci::{Descriptor, Platform};
use crate::presence::{is_empty, null_when_empty};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    /// −1 where not counted.
    pub containers: i64,
    /// Unix time.
    pub created: i64,
    pub id: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub parent_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    #[serde(skip_serializing_if = "is_empty")]
    pub manifests: Option<Vec<ManifestSummary>>,
    pub repo_digests: Vec<String>,
    pub repo_tags: Vec<String>,
    /// −1 where not computed.
    pub shared_size: i64,
    pub size: i64,
    /// Before API 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
}

/// One manifest of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestSummary {
    #[serde(rename = "ID")]
    pub id: String,
    pub descriptor: Descriptor,
    pub available: bool,
    pub size: ManifestSize,
    /// `image`, `attestation` or `unknown`.
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_data: Option<ImageProperties>,
}

/// Bytes of a manifest's blobs, and those with its snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestSize {
    pub content: i64,
    pub total: i64,
}

/// What a manifest of an image says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageProperties {
    pub platform: Platform,
    pub size: UnpackedSize,
    /// Sent as `null` when there is none.
    #[serde(serialize_with = "null_when_empty")]
    pub containers: Vec<String>,
}

/// Bytes of a manifest's snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UnpackedSize {
    pub unpacked: i64,
}
