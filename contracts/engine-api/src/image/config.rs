//! What an image says about containers made from it.
#![expect(missing_docs, reason = "the fields are the Engine API's own, by its names")]

use crate::container::{HealthConfig, Member};
use crate::presence::{is_default, is_empty};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The OCI image configuration with Docker's additions; what is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub user: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub exposed_ports: Option<BTreeMap<String, Member>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_empty", deserialize_with = "words")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_empty", deserialize_with = "words")]
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub volumes: Option<BTreeMap<String, Member>>,
    #[serde(skip_serializing_if = "is_default")]
    pub working_dir: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "is_default")]
    pub args_escaped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    #[serde(skip_serializing_if = "is_empty")]
    pub on_build: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub shell: Option<Vec<String>>,
}

/// A list of words, or one word alone: images of Docker before 1.10 have the latter.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Words>::deserialize(deserializer)?.map(|words| match words {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_be_one_word() {
        let config: ImageConfig =
            crate::decode::from_slice(br#"{"Cmd": "sh", "Entrypoint": ["a", "b"]}"#).unwrap();
        assert_eq!(config.cmd, Some(vec!["sh".to_owned()]));
        assert_eq!(config.entrypoint, Some(vec!["a".to_owned(), "b".to_owned()]));
    }
}
