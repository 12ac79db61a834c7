//! Published ports.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use crate::presence::is_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `80/tcp` → where it is published; `null` for a port that is exposed only.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// A port of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PortBinding {
    pub host_ip: String,
    /// A number or a range, as text; empty lets the daemon choose.
    pub host_port: String,
}

/// A port in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PortSummary {
    /// Empty where the port is exposed only.
    #[serde(rename = "IP")]
    pub ip: String,
    pub private_port: u16,
    #[serde(skip_serializing_if = "is_default")]
    pub public_port: u16,
    /// `tcp`, `udp` or `sctp`.
    #[serde(rename = "Type")]
    pub protocol: String,
}
