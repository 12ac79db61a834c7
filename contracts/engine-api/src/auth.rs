//! Registry credentials on their way through the API.

use crate::presence::is_default;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The request header that carries an [`AuthConfig`], in base64url JSON.
pub const REGISTRY_AUTH_HEADER: &str = "X-Registry-Auth";
/// A longer header is not looked at.
const LONGEST_HEADER: usize = 64 * 1024;

/// Who asks a registry. `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// The user's name.
    #[serde(skip_serializing_if = "is_default")]
    pub username: String,
    /// The user's password.
    #[serde(skip_serializing_if = "is_default")]
    pub password: String,
    /// Name and password joined by a colon in base64, from old configuration files.
    #[serde(skip_serializing_if = "is_default")]
    pub auth: String,
    /// Only in requests of very old clients.
    #[serde(skip_serializing_if = "is_default")]
    pub email: String,
    /// Which registry these are for.
    #[serde(skip_serializing_if = "is_default")]
    pub serveraddress: String,
    /// A refresh token instead of a password.
    #[serde(skip_serializing_if = "is_default")]
    pub identitytoken: String,
    /// A bearer token that is sent to the registry as it is.
    #[serde(skip_serializing_if = "is_default")]
    pub registrytoken: String,
}

impl AuthConfig {
    /// Reads the header; a bad value counts as none, as in dockerd.
    #[must_use]
    pub fn from_header(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > LONGEST_HEADER {
            return None;
        }
        let json = URL_SAFE
            .decode(text)
            .or_else(|_| URL_SAFE_NO_PAD.decode(text))
            .or_else(|_| STANDARD.decode(text))
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .ok()?;
        crate::decode::from_slice(&json).ok()
    }

    /// The header's value.
    #[must_use]
    pub fn to_header(&self) -> String {
        let json = serde_json::to_vec(self).expect("a struct of strings is always JSON");
        URL_SAFE.encode(json)
    }
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("serveraddress", &self.serveraddress)
            .finish_non_exhaustive()
    }
}

/// Answer of `POST /auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AuthResponse {
    /// A token to keep instead of the password.
    #[serde(skip_serializing_if = "is_default")]
    pub identity_token: String,
    /// `Login Succeeded`.
    pub status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_survive_the_header_and_do_not_show_in_debug() {
        let who =
            AuthConfig { username: "u".into(), password: "p4ss?>".into(), ..AuthConfig::default() };
        assert_eq!(AuthConfig::from_header(&who.to_header()), Some(who.clone()));
        assert!(!format!("{who:?}").contains("p4ss"));
        assert_eq!(AuthConfig::from_header("not base64 at all"), None);
    }
}
