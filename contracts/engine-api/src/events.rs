//! `GET /events`.

use crate::presence::is_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// The action, once more; before API 1.52.
    #[serde(skip_serializing_if = "is_default")]
    pub status: String,
    /// The actor's id, once more; before API 1.52.
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    /// The container's image; before API 1.52.
    #[serde(skip_serializing_if = "is_default")]
    pub from: String,
    /// `container`, `image`, `network`, `volume`, `daemon` and so on.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `start`, `die`, `exec_create: sh` and so on.
    #[serde(rename = "Action")]
    pub action: String,
    /// To what it happened.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local`, or `swarm`.
    #[serde(skip_serializing_if = "is_default")]
    pub scope: String,
    /// Unix seconds.
    #[serde(skip_serializing_if = "is_default")]
    pub time: i64,
    /// Unix nanoseconds.
    #[serde(rename = "timeNano", skip_serializing_if = "is_default")]
    pub time_nano: i64,
}

/// To what an event happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// A container's or network's id, an image's name or id, a volume's name.
    #[serde(rename = "ID")]
    pub id: String,
    /// Labels, and what belongs to the action (`exitCode`).
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}
