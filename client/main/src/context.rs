//! Docker's contexts: named daemons in the user's configuration, read only.
//!
//! `contexts/meta/<sha256 of the name>/meta.json` has the host; `contexts/tls/<sha256>/docker/`
//! has `ca.pem`, `cert.pem` and `key.pem`.

use client_http::{Endpoint, TlsFiles, parse_host};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The context that is no entry: host and environment.
pub(crate) const DEFAULT: &str = "default";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    #[serde(default)]
    endpoints: BTreeMap<String, MetaEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetaEndpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// The daemon of a context.
pub(crate) fn endpoint(config_directory: &Path, name: &str) -> Result<Endpoint, String> {
    let hash = hex::encode(Sha256::digest(name.as_bytes()));
    let contexts = config_directory.join("contexts");
    let path = contexts.join("meta").join(&hash).join("meta.json");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            _ => error.to_string(),
        };
        unresolved(format!("context {name:?}: context not found: open {}: {why}", path.display()))
    })?;
    let meta: Meta = serde_json::from_str(&text)
        .map_err(|error| unresolved(format!("context {name:?}: {}: {error}", path.display())))?;
    let docker = meta
        .endpoints
        .get("docker")
        .ok_or_else(|| unresolved(format!("context {name:?} has no docker endpoint")))?;
    let directory = contexts.join("tls").join(&hash).join("docker");
    let file = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
    let tls = directory.is_dir().then(|| TlsFiles {
        ca: file("ca.pem"),
        certificate: file("cert.pem"),
        key: file("key.pem"),
        verify: !docker.skip_tls_verify,
        server_name: None,
    });
    parse_host(&docker.host, tls).map_err(|error| unresolved(error.to_string()))
}

/// Docker's beginning of every complaint about where the daemon is.
pub(crate) fn unresolved(why: impl std::fmt::Display) -> String {
    format!("Failed to initialize: unable to resolve docker endpoint: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_found_by_the_hash_of_its_name() {
        let directory = tempfile::tempdir().unwrap();
        // sha256 of "foo"
        let hash = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        let meta = directory.path().join("contexts/meta").join(hash);
        let missing = endpoint(directory.path(), "foo").unwrap_err();
        assert!(missing.contains("context not found") && missing.contains(hash), "{missing}");
        std::fs::create_dir_all(&meta).unwrap();
        let text = r#"{"Name":"foo","Endpoints":{"docker":{"Host":"tcp://a:1"}}}"#;
        std::fs::write(meta.join("meta.json"), text).unwrap();
        assert_eq!(endpoint(directory.path(), "foo").unwrap().host, "tcp://a:1");
    }
}
