//! What a container is doing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Where a container is in its life (runtime-spec, with runc's `paused`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Namespaces and mounts are being made.
    Creating,
    /// Everything is ready; init waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Init has ended.
    Stopped,
}

impl Status {
    /// The name in documents and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state document: what hooks read on stdin, and what `state` prints with runc's additions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the runtime specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The init process as the host sees it; 0 when stopped.
    pub pid: i32,
    /// Where the container is in its life.
    pub status: Status,
    /// The bundle, absolute.
    pub bundle: String,
    /// The root file system, absolute (runc).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rootfs: String,
    /// When it was created, RFC 3339 (runc).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// The configuration's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Owner of the state folder (runc prints an empty name for root).
    #[serde(default)]
    pub owner: String,
}

/// A line of `list --format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListEntry {
    /// Version of the runtime specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The init process as the host sees it; 0 when stopped.
    pub pid: i32,
    /// Where the container is in its life.
    pub status: Status,
    /// The bundle, absolute.
    pub bundle: String,
    /// The root file system, absolute.
    pub rootfs: String,
    /// When it was created, RFC 3339.
    pub created: String,
    /// The configuration's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Owner of the state folder.
    pub owner: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_document_has_the_specifications_names() {
        let state = State {
            oci_version: "1.3.0".into(),
            id: "a".into(),
            pid: 7,
            status: Status::Created,
            bundle: "/b".into(),
            rootfs: String::new(),
            created: String::new(),
            annotations: BTreeMap::new(),
            owner: String::new(),
        };
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            r#"{"ociVersion":"1.3.0","id":"a","pid":7,"status":"created","bundle":"/b","owner":""}"#
        );
    }
}
