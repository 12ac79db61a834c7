//! `GET /system/df`.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use crate::presence::{is_default, is_empty};
use crate::{container, image, volume};
use serde::{Deserialize, Serialize};

/// What takes up the disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskUsage {
    /// This and the lists after it: not with `verbose=1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<image::Summary>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<container::Summary>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<volume::Volume>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_cache: Option<Vec<BuildCacheRecord>>,
    /// This and the ones after it: since API 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_usage: Option<Usage<image::Summary>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_usage: Option<Usage<container::Summary>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_usage: Option<Usage<volume::Volume>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_cache_usage: Option<Usage<BuildCacheRecord>>,
}

/// What one sort of things takes up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct Usage<T> {
    #[serde(skip_serializing_if = "is_default")]
    pub active_count: i64,
    #[serde(skip_serializing_if = "is_empty")]
    pub items: Option<Vec<T>>,
    #[serde(skip_serializing_if = "is_default")]
    pub reclaimable: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub total_count: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub total_size: i64,
}

/// A build cache's entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BuildCacheRecord {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub parents: Option<Vec<String>>,
    #[serde(rename = "Type")]
    pub kind: String,
    pub description: String,
    pub in_use: bool,
    pub shared: bool,
    pub size: i64,
    pub created_at: String,
    pub last_used_at: Option<String>,
    pub usage_count: i64,
}
