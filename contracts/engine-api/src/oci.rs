//! The OCI image documents' structures that answers repeat.

use crate::presence::{is_default, is_empty};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a blob is and how to find it (image-spec, descriptor).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Descriptor {
    /// The blob's media type.
    pub media_type: String,
    /// `sha256:…`.
    pub digest: String,
    /// Bytes.
    pub size: i64,
    /// Other places to get it.
    #[serde(skip_serializing_if = "is_empty")]
    pub urls: Option<Vec<String>>,
    /// Free text.
    #[serde(skip_serializing_if = "is_empty")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The blob itself, in base64.
    #[serde(skip_serializing_if = "is_default")]
    pub data: Option<String>,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of an artifact.
    #[serde(skip_serializing_if = "is_default")]
    pub artifact_type: String,
}

/// What an image runs on (image-spec, image index).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// Windows only.
    #[serde(rename = "os.version", skip_serializing_if = "is_default")]
    pub os_version: String,
    /// Windows only.
    #[serde(rename = "os.features", skip_serializing_if = "is_empty")]
    pub os_features: Option<Vec<String>>,
    /// `v8`.
    #[serde(skip_serializing_if = "is_default")]
    pub variant: String,
}
