//! The user's `config.json`: the parts that commands here use.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The longest file that is read.
const MAX_LENGTH: u64 = 1024 * 1024;

/// `~/.docker/config.json`; unknown fields belong to other tools.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConfigFile {
    /// The context in use.
    pub current_context: String,
    /// Headers for every request.
    #[serde(rename = "HttpHeaders")]
    pub http_headers: BTreeMap<String, String>,
    /// The keys that end an attachment.
    pub detach_keys: String,
    /// Credentials by registry.
    pub auths: BTreeMap<String, Credentials>,
    /// The helper program that keeps the credentials of a registry, without its prefix.
    pub cred_helpers: BTreeMap<String, String>,
    /// The helper program that keeps all other credentials.
    pub creds_store: String,
    /// How `ps` prints.
    pub ps_format: String,
    /// How `images` prints.
    pub images_format: String,
    /// How `network ls` prints.
    pub networks_format: String,
    /// How `volume ls` prints.
    pub volumes_format: String,
    /// How `stats` prints.
    pub stats_format: String,
    /// Proxies for containers, by daemon host or `default`.
    pub proxies: BTreeMap<String, Proxies>,
}

/// Credentials for one registry.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// `user:password` in base64.
    pub auth: String,
    /// The user, where `auth` does not say.
    pub username: String,
    /// The password, where `auth` does not say.
    pub password: String,
    /// A token in place of a password.
    pub identitytoken: String,
    /// A token in place of everything.
    pub registrytoken: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Proxies that containers are told of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Proxies {
    /// For http.
    pub http_proxy: String,
    /// For https.
    pub https_proxy: String,
    /// What is reached directly.
    pub no_proxy: String,
    /// For ftp.
    pub ftp_proxy: String,
    /// For everything else.
    pub all_proxy: String,
}

impl Proxies {
    /// The variables that containers get, by their upper-case names.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        [
            ("HTTP_PROXY", self.http_proxy.as_str()),
            ("HTTPS_PROXY", &self.https_proxy),
            ("NO_PROXY", &self.no_proxy),
            ("FTP_PROXY", &self.ftp_proxy),
            ("ALL_PROXY", &self.all_proxy),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
    }
}

impl ConfigFile {
    /// Reads the file in `directory`; one that is not there is an empty one.
    ///
    /// # Errors
    ///
    /// With the words for a warning, when the file cannot be read or understood.
    pub fn load(directory: &Path) -> Result<Self, String> {
        let path = directory.join("config.json");
        let mut text = String::new();
        match std::fs::File::open(&path) {
            Ok(file) => file.take(MAX_LENGTH).read_to_string(&mut text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => Err(error),
        }
        .map_err(|error| format!("Error loading config file: {}: {error}", path.display()))?;
        serde_json::from_str(&text)
            .map_err(|error| format!("Error parsing config file ({}): {error}", path.display()))
    }

    /// The proxies for containers of the daemon at `host`.
    #[must_use]
    pub fn proxies_for(&self, host: &str) -> Option<&Proxies> {
        self.proxies.get(host).or_else(|| self.proxies.get("default"))
    }
}

/// Sets the context in use; empty is none. What else is in the file stays.
///
/// # Errors
///
/// With the words for the user, when the file cannot be read, understood or replaced.
pub(crate) fn set_current_context(directory: &Path, name: &str) -> Result<(), String> {
    const FIELD: &str = "currentContext";
    // Through links: the file may be kept elsewhere.
    let path = directory.join("config.json");
    let path = std::fs::canonicalize(&path).unwrap_or(path);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_owned(),
        text => text.map_err(|error| format!("cannot read {}: {error}", path.display()))?,
    };
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
        .map_err(|error| format!("Error parsing config file ({}): {error}", path.display()))?;
    if name.is_empty() {
        fields.shift_remove(FIELD);
    } else {
        fields.insert(FIELD.to_owned(), name.into());
    }
    let text = crate::inspecting::indented(&fields.into(), b"\t");
    let write = || {
        std::fs::create_dir_all(directory)?;
        // Credentials may be in it.
        crate::contexts::replace(&path, text.as_bytes(), 0o600)
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_empty_and_a_broken_one_is_told() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(ConfigFile::load(directory.path()).unwrap().current_context, "");
        std::fs::write(directory.path().join("config.json"), "{").unwrap();
        assert!(ConfigFile::load(directory.path()).unwrap_err().contains("config.json"));
        let text = r#"{"currentContext":"far","auths":{"r":{"auth":"eA=="}},"credsStore":"x"}"#;
        std::fs::write(directory.path().join("config.json"), text).unwrap();
        let config = ConfigFile::load(directory.path()).unwrap();
        assert_eq!(config.current_context, "far");
        assert!(!format!("{config:?}").contains("eA=="));
    }

    #[test]
    fn the_context_is_set_beside_what_else_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        set_current_context(directory.path(), "far").unwrap();
        assert_eq!(ConfigFile::load(directory.path()).unwrap().current_context, "far");
        std::fs::write(&path, r#"{"other":{"b":1,"a":2},"currentContext":"far"}"#).unwrap();
        set_current_context(directory.path(), "").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\n\t\"other\": {\n\t\t\"b\": 1,\n\t\t\"a\": 2\n\t}\n}");
        std::fs::write(&path, "{").unwrap();
        assert!(set_current_context(directory.path(), "far").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
    }
}
