//! `POST /containers/create`.

use super::{Config, HostConfig};
use crate::decode::{self, DecodeError};
use crate::network::NetworkingConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The body: [`Config`]'s fields at the top, and two objects beside them.
///
/// It decodes by [`CreateRequest::from_slice`] only, so that errors name the fields as Docker
/// does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateRequest {
    /// What runs.
    #[serde(flatten)]
    pub config: Config,
    /// Where and within which bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_config: Option<HostConfig>,
    /// On which networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networking_config: Option<NetworkingConfig>,
}

impl CreateRequest {
    const NAME: &str = "CreateRequest";

    /// Reads a body.
    ///
    /// # Errors
    /// See [`decode`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_value(&decode::parse(bytes)?)
    }

    /// Reads a parsed body.
    ///
    /// # Errors
    /// See [`decode`].
    pub fn from_value(body: &Value) -> Result<Self, DecodeError> {
        Ok(Self {
            config: decode::from_embedded(body, Self::NAME, "Config")?,
            host_config: Self::part(body, "HostConfig")?,
            networking_config: Self::part(body, "NetworkingConfig")?,
        })
    }

    fn part<T: serde::de::DeserializeOwned>(
        body: &Value,
        name: &'static str,
    ) -> Result<Option<T>, DecodeError> {
        match decode::field(body, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => decode::from_part(value, Self::NAME, Some(name)).map(Some),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateResponse {
    /// The new container's id.
    pub id: String,
    /// What was not done as asked; `[]` when nothing.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_its_json() {
        let text = r#"{"Image":"debian","Cmd":["true"],"HostConfig":{"AutoRemove":true,
            "NetworkMode":"default"},"NetworkingConfig":{"EndpointsConfig":{"bridge":null}}}"#;
        let request = CreateRequest::from_slice(text.as_bytes()).unwrap();
        assert_eq!(request.config.image, "debian");
        assert!(request.host_config.as_ref().unwrap().auto_remove);
        let json = serde_json::to_vec(&request).unwrap();
        assert_eq!(CreateRequest::from_slice(&json).unwrap(), request);
    }
}
