//! Mounts, as asked for and as made.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use crate::presence::{is_default, is_empty};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A mount to be made (`--mount`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
    #[serde(rename = "Type", skip_serializing_if = "is_default")]
    pub kind: String,
    #[serde(skip_serializing_if = "is_default")]
    pub source: String,
    #[serde(skip_serializing_if = "is_default")]
    pub target: String,
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub consistency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BindOptions {
    #[serde(skip_serializing_if = "is_default")]
    pub propagation: String,
    #[serde(skip_serializing_if = "is_default")]
    pub non_recursive: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub create_mountpoint: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub read_only_non_recursive: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VolumeOptions {
    #[serde(skip_serializing_if = "is_default")]
    pub no_copy: bool,
    #[serde(skip_serializing_if = "is_empty")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub subpath: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<MountDriver>,
}

/// A volume's driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MountDriver {
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub options: Option<BTreeMap<String, String>>,
}

/// Options of an image mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageOptions {
    #[serde(skip_serializing_if = "is_default")]
    pub subpath: String,
}

/// Options of a tmpfs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TmpfsOptions {
    #[serde(skip_serializing_if = "is_default")]
    pub size_bytes: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub mode: u32,
    #[serde(skip_serializing_if = "is_empty")]
    pub options: Option<Vec<Vec<String>>>,
}

/// A mount that a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MountPoint {
    #[serde(rename = "Type", skip_serializing_if = "is_default")]
    pub kind: String,
    /// The volume's.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    pub source: String,
    pub destination: String,
    #[serde(skip_serializing_if = "is_default")]
    pub driver: String,
    pub mode: String,
    #[serde(rename = "RW")]
    pub rw: bool,
    pub propagation: String,
}
