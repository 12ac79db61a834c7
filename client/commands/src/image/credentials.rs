//! Credentials for a registry, from the user's configuration.

use crate::config_file::{ConfigFile, Credentials};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

/// The key of Docker Hub in `auths`.
const HUB: &str = "https://index.docker.io/v1/";

/// The `X-Registry-Auth` header for a registry's domain; `None` when there are no credentials.
pub(super) fn header(config: &ConfigFile, domain: &str) -> Option<String> {
    let keys = match domain {
        "docker.io" => vec![HUB.to_owned(), "index.docker.io".to_owned(), domain.to_owned()],
        domain => vec![domain.to_owned(), format!("https://{domain}"), format!("http://{domain}")],
    };
    let (key, credentials) =
        keys.iter().find_map(|key| config.auths.get(key).map(|found| (key, found)))?;
    let body = body(key, credentials)?;
    Some(URL_SAFE.encode(body.to_string()))
}

fn body(server: &str, credentials: &Credentials) -> Option<Value> {
    if !credentials.registrytoken.is_empty() {
        return Some(json!({"registrytoken": credentials.registrytoken, "serveraddress": server}));
    }
    let decoded = STANDARD.decode(credentials.auth.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let password = password.trim_end_matches('\0');
    if credentials.identitytoken.is_empty() {
        return Some(json!({"username": user, "password": password, "serveraddress": server}));
    }
    Some(json!({
        "username": user,
        "identitytoken": credentials.identitytoken,
        "serveraddress": server,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_by_domain() {
        let mut config = ConfigFile::default();
        let auth = STANDARD.encode("me:a:b");
        config.auths.insert(HUB.into(), Credentials { auth, ..Credentials::default() });
        let header = header(&config, "docker.io").unwrap();
        let body: Value = serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        assert_eq!(body, json!({"username": "me", "password": "a:b", "serveraddress": HUB}));
        assert_eq!(super::header(&config, "elsewhere"), None);
    }
}
