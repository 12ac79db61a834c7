//! The body of every answer that reports a failure.

use serde::{Deserialize, Serialize};

/// `{"message": "…"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorResponse {
    /// What failed, for a person.
    pub message: String,
}
