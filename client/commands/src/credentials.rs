//! Credentials for a registry, by docker/cli's rules: from the helper program that the user's
//! configuration names for it, else from the configuration itself.

mod helper;

use crate::config_file::{ConfigFile, Credentials};
use crate::output;
use crate::session::Session;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contracts_engine_api::auth::AuthConfig;
use std::path::Path;

/// The name under which credentials for Docker Hub are kept.
const HUB: &str = "https://index.docker.io/v1/";

/// The value of [`REGISTRY_AUTH_HEADER`](contracts_engine_api::auth::REGISTRY_AUTH_HEADER) for a registry's domain; `None` without credentials. A
/// helper that fails is told of, and the request goes on without credentials, as Docker's does.
pub(crate) fn header(session: &Session, domain: &str) -> Option<String> {
    let server = match domain {
        "docker.io" | "index.docker.io" => HUB,
        domain => domain,
    };
    let found = match helper_for(session, server) {
        Some(name) => helper::get(&name, server).unwrap_or_else(|error| {
            let error = base_errors::Chain(&error);
            output::note(format!("WARNING: no credentials for {server}: {error}"));
            None
        }),
        None => from_file(&session.config, server),
    };
    found.map(|found| found.to_header())
}

/// The helper that keeps the credentials for a server: its own, the store for all, or, where the
/// configuration has no credentials of any kind, the platform's store if that is installed.
fn helper_for(session: &Session, server: &str) -> Option<String> {
    let config = &session.config;
    let named = config.cred_helpers.get(server).or(Some(&config.creds_store));
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        return Some(name.clone());
    }
    let none = config.auths.is_empty() && config.cred_helpers.is_empty();
    let path = session.environment.get("PATH").map_or("", String::as_str);
    let installed =
        |program: &str| path.split(':').any(|dir| Path::new(dir).join(program).exists());
    let platform = if installed("pass") { "pass" } else { "secretservice" };
    (none && installed(&helper::program(platform))).then(|| platform.to_owned())
}

/// What the configuration says for a server, by its name or by an address with that host.
fn from_file(config: &ConfigFile, server: &str) -> Option<AuthConfig> {
    let exact = config.auths.get_key_value(server);
    let (key, found) =
        exact.or_else(|| config.auths.iter().find(|(key, _)| host_of(key) == server))?;
    read(key, found)
}

/// `h.io` of `https://h.io/v1/`.
fn host_of(address: &str) -> &str {
    let bare = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    bare.unwrap_or(address).split('/').next().unwrap_or_default()
}

fn read(server: &str, credentials: &Credentials) -> Option<AuthConfig> {
    let mut found = AuthConfig {
        username: credentials.username.clone(),
        password: credentials.password.clone(),
        serveraddress: server.to_owned(),
        identitytoken: credentials.identitytoken.clone(),
        registrytoken: credentials.registrytoken.clone(),
        ..AuthConfig::default()
    };
    if !credentials.auth.is_empty() {
        let decoded = String::from_utf8(STANDARD.decode(credentials.auth.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        user.clone_into(&mut found.username);
        password.trim_end_matches('\0').clone_into(&mut found.password);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> ConfigFile {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_file_is_read_by_name_and_by_host() {
        let config = config(
            r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6YTpi"},
                "https://h.io/v1/": {"username": "u", "password": "p"}}}"#,
        );
        let hub = from_file(&config, HUB).unwrap();
        assert_eq!((hub.username.as_str(), hub.password.as_str()), ("me", "a:b"));
        let other = from_file(&config, "h.io").unwrap();
        assert_eq!(other.serveraddress, "https://h.io/v1/");
        assert_eq!(other.password, "p");
        assert_eq!(from_file(&config, "elsewhere"), None);
    }
}
