//! Answers of what one does to containers.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use crate::presence::is_default;
use serde::{Deserialize, Serialize};

/// The answer of everything that makes one thing: `{"Id": "…"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IdResponse {
    pub id: String,
}

/// `POST /containers/{id}/wait`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WaitResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WaitExitError>,
    pub status_code: i64,
}

/// Why waiting failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WaitExitError {
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
}

/// `GET /containers/{id}/top`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TopResponse {
    pub processes: Option<Vec<Vec<String>>>,
    pub titles: Option<Vec<String>>,
}

/// `POST /containers/{id}/update`; `null` when there is nothing to warn of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateResponse {
    pub warnings: Option<Vec<String>>,
}

/// `POST /containers/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    pub containers_deleted: Option<Vec<String>>,
    pub space_reclaimed: u64,
}

/// One line of `GET /containers/{id}/changes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct FilesystemChange {
    /// 0 modified, 1 added, 2 deleted.
    pub kind: u8,
    pub path: String,
}
