//! `GET /version`.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use crate::presence::{is_default, is_empty};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VersionResponse {
    pub platform: PlatformInfo,
    pub version: String,
    pub api_version: String,
    #[serde(rename = "MinAPIVersion", skip_serializing_if = "is_default")]
    pub min_api_version: String,
    pub os: String,
    pub arch: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub components: Option<Vec<ComponentVersion>>,
    #[serde(skip_serializing_if = "is_default")]
    pub git_commit: String,
    #[serde(skip_serializing_if = "is_default")]
    pub go_version: String,
    #[serde(skip_serializing_if = "is_default")]
    pub kernel_version: String,
    #[serde(skip_serializing_if = "is_default")]
    pub experimental: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub build_time: String,
}

/// The product's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PlatformInfo {
    pub name: String,
}

/// One program that the daemon works with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ComponentVersion {
    pub name: String,
    pub version: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub details: Option<BTreeMap<String, String>>,
}
