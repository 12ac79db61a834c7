//! `GET /containers/json`.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use super::{HealthSummary, MountPoint, PortSummary};
use crate::network::EndpointSettings;
use crate::oci::Descriptor;
use crate::presence::{is_default, is_empty};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A container in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    pub id: String,
    /// Each with a leading slash.
    pub names: Vec<String>,
    /// The name by which the image was asked for; its id once that name means another.
    pub image: String,
    #[serde(rename = "ImageID")]
    pub image_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_descriptor: Option<Descriptor>,
    pub command: String,
    /// Unix time.
    pub created: i64,
    pub ports: Vec<PortSummary>,
    #[serde(skip_serializing_if = "is_default")]
    pub size_rw: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub size_root_fs: i64,
    pub labels: BTreeMap<String, String>,
    pub state: String,
    /// For people: `Up 5 minutes (healthy)`.
    pub status: String,
    pub host_config: SummaryHostConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSummary>,
    pub network_settings: SummaryNetworkSettings,
    pub mounts: Vec<MountPoint>,
}

/// What a list tells of the host configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryHostConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub network_mode: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What a list tells of the networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryNetworkSettings {
    pub networks: BTreeMap<String, EndpointSettings>,
}
