//! `GET /images/{name}/json`.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use super::{ImageConfig, ManifestSummary};
use crate::container::DriverData;
use crate::oci::Descriptor;
use crate::presence::{is_default, is_empty};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything about one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct InspectResponse {
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    /// Before API 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub comment: String,
    #[serde(skip_serializing_if = "is_default")]
    pub created: String,
    /// Before API 1.45.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Before API 1.45.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<Value>,
    /// Before API 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub author: String,
    pub config: Option<ImageConfig>,
    pub architecture: String,
    #[serde(skip_serializing_if = "is_default")]
    pub variant: String,
    pub os: String,
    #[serde(skip_serializing_if = "is_default")]
    pub os_version: String,
    pub size: i64,
    /// Before API 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
    /// Before API 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph_driver: Option<DriverData>,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    pub metadata: Metadata,
    /// Since API 1.48.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// Since API 1.48, when asked for.
    #[serde(skip_serializing_if = "is_empty")]
    pub manifests: Option<Vec<ManifestSummary>>,
    /// Since API 1.53.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// Where an image comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Identity {
    /// The repositories that it was pulled from.
    #[serde(skip_serializing_if = "is_empty")]
    pub pull: Option<Vec<PullIdentity>>,
}

/// A repository that an image was pulled from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PullIdentity {
    /// `docker.io/library/debian`.
    #[serde(skip_serializing_if = "is_default")]
    pub repository: String,
}

/// An image's layers, uncompressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RootFs {
    #[serde(rename = "Type", skip_serializing_if = "is_default")]
    pub kind: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub layers: Option<Vec<String>>,
}

/// What the daemon knows and the image does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Metadata {
    pub last_tag_time: String,
}
