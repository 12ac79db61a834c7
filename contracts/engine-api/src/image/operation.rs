//! Answers of what one does to images.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use crate::presence::is_default;
use serde::{Deserialize, Serialize};

/// One line of `DELETE /images/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeleteResponse {
    #[serde(skip_serializing_if = "is_default")]
    pub deleted: String,
    #[serde(skip_serializing_if = "is_default")]
    pub untagged: String,
}

/// One line of `GET /images/{name}/history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HistoryItem {
    pub comment: String,
    /// Unix time.
    pub created: i64,
    pub created_by: String,
    /// `<missing>` for every layer but the image's own.
    pub id: String,
    pub size: i64,
    pub tags: Option<Vec<String>>,
}

/// `POST /images/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    pub images_deleted: Option<Vec<DeleteResponse>>,
    pub space_reclaimed: u64,
}
