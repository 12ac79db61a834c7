//! The lines of a progress stream (pull, push, load, build).

use crate::presence::is_default;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of a progress stream. A failure after the first line can only be told here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Text to print as it is (builds).
    #[serde(skip_serializing_if = "is_default")]
    pub stream: String,
    /// What happens now: `Downloading`, `Pull complete`.
    #[serde(skip_serializing_if = "is_default")]
    pub status: String,
    /// How far it is; `{}` on lines of a layer that has no figures.
    #[serde(rename = "progressDetail", skip_serializing_if = "is_default")]
    pub progress_detail: Option<Detail>,
    /// The same as a bar drawn for eighty columns; sent by older daemons too.
    #[serde(skip_serializing_if = "is_default")]
    pub progress: String,
    /// What the line is about: a layer's short digest, or a tag.
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    /// A failure; the stream ends with it.
    #[serde(rename = "errorDetail", skip_serializing_if = "is_default")]
    pub error_detail: Option<ErrorDetail>,
    /// The failure's text once more, for old clients.
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    /// Results for programs (`{"ID": "sha256:…"}`).
    #[serde(skip_serializing_if = "is_default")]
    pub aux: Option<Value>,
}

/// Figures of a progress line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// Done so far.
    #[serde(skip_serializing_if = "is_default")]
    pub current: i64,
    /// To be done in all; zero where unknown.
    #[serde(skip_serializing_if = "is_default")]
    pub total: i64,
    /// Start as Unix time.
    #[serde(skip_serializing_if = "is_default")]
    pub start: i64,
    /// Do not print the figures.
    #[serde(skip_serializing_if = "is_default")]
    pub hidecounts: bool,
    /// `s` for seconds; empty is bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub units: String,
}

/// A failure inside a progress stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// An exit code (builds), else zero.
    #[serde(skip_serializing_if = "is_default")]
    pub code: i64,
    /// What failed.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
}

impl Message {
    /// A line that only says something.
    #[must_use]
    pub fn status(text: impl Into<String>) -> Self {
        Self { status: text.into(), ..Self::default() }
    }

    /// A line about one layer, or a tag.
    #[must_use]
    pub fn about(id: impl Into<String>, status: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            status: status.into(),
            progress_detail: Some(Detail::default()),
            ..Self::default()
        }
    }

    /// The last line of a stream that failed.
    #[must_use]
    pub fn failure(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            error_detail: Some(ErrorDetail { code: 0, message: text.clone() }),
            error: text,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_as_dockers_do() {
        let layer = serde_json::to_string(&Message::about("0a1b2c3d4e5f", "Pulling fs layer"));
        assert_eq!(
            layer.unwrap(),
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"0a1b2c3d4e5f"}"#
        );
        assert_eq!(
            serde_json::to_string(&Message::failure("no space")).unwrap(),
            r#"{"errorDetail":{"message":"no space"},"error":"no space"}"#
        );
    }
}
