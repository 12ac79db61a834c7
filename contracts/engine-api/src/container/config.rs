//! What runs in a container: `Config`.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use super::Member;
use crate::presence::{is_default, is_empty};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The portable part of a container's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    /// `80/tcp` and so on.
    #[serde(skip_serializing_if = "is_empty")]
    pub exposed_ports: Option<BTreeMap<String, Member>>,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    #[serde(skip_serializing_if = "is_default")]
    pub args_escaped: bool,
    /// The name by which the image was asked for.
    pub image: String,
    pub volumes: Option<BTreeMap<String, Member>>,
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub network_disabled: bool,
    /// Before API 1.52 only; later versions have it per endpoint.
    #[serde(skip_serializing_if = "is_default")]
    pub mac_address: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    pub on_build: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub stop_signal: String,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "is_empty")]
    pub shell: Option<Vec<String>>,
}

/// How to find out whether a container is healthy. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthConfig {
    /// `["CMD", …]`, `["CMD-SHELL", text]`, `["NONE"]`, or empty to inherit.
    #[serde(skip_serializing_if = "is_empty")]
    pub test: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub interval: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub start_interval: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub retries: i64,
}
