//! Where a registry's content can be had: itself, and mirrors before it.
//!
//! `HOST_DIR/<host>/hosts.toml` says so in containerd's form (docs/hosts.md there): `server`, and
//! tables `[host."URL"]` with `capabilities`, `ca`, `client`, `skip_verify`, `override_path` and
//! `header`, tried in their order. Without that file, certificates in the directory are used as
//! Docker uses those in `certs.d`: `*.crt` are authorities, `NAME.cert` and `NAME.key` identities.

mod tls;

use crate::error::RegistryError;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tls::Tls;

pub(crate) use tls::Http;

/// The largest configuration file read.
const MAX_FILE: u64 = 1 << 20;

/// What a client says about how registries are reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The directory of per-host configuration; empty for none.
    pub(crate) host_dir: PathBuf,
    /// `http` or `https`; empty for the usual.
    pub(crate) default_scheme: String,
    /// Headers for every request.
    pub(crate) headers: HashMap<String, String>,
    /// How long an answer may stand still.
    pub(crate) stall: Duration,
}

/// One place to ask.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// `https://HOST/v2`, without a slash at the end.
    pub(crate) base: String,
    /// The registry that this one mirrors.
    pub(crate) mirror_of: Option<String>,
    /// Whether it may say what a tag stands for.
    pub(crate) resolves: bool,
    /// Whether it may give blobs and manifests.
    pub(crate) pulls: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) http: Http,
}

impl Host {
    /// The host and port, as credentials are filed under.
    pub(crate) fn authority(&self) -> &str {
        let rest = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.base.starts_with("https://")
    }
}

/// The places to ask for what `registry` has, in order.
pub(crate) fn of(registry: &str, options: &Options) -> Result<Vec<Host>, RegistryError> {
    let common = headers(options.headers.iter().map(|(name, value)| (&**name, &**value)))?;
    let directory = directory(registry, &options.host_dir);
    let file = directory.as_ref().map(|directory| directory.join("hosts.toml"));
    let text = file.as_deref().map(read).transpose()?.flatten();
    if let (Some(directory), Some(file), Some(text)) = (&directory, &file, text) {
        return configured(registry, options, &common, directory, &text)
            .map_err(|why| RegistryError::Configuration { path: file.display().to_string(), why });
    }
    let certificates = match &directory {
        Some(directory) => Tls::of_directory(directory)?,
        None => Tls::default(),
    };
    Ok(vec![Host {
        base: usual(registry, options),
        mirror_of: None,
        resolves: true,
        pulls: true,
        headers: common,
        http: certificates.client(options.stall)?,
    }])
}

/// A client that trusts what the system trusts, and proves nothing about us.
pub(crate) fn plain_client(stall: Duration) -> Result<Http, RegistryError> {
    Tls::default().client(stall)
}

/// Where a registry is if nothing else is said.
fn usual(registry: &str, options: &Options) -> String {
    let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let scheme = match options.default_scheme.as_str() {
        "http" => "http",
        "https" => "https",
        _ if is_local(host) => "http",
        _ => "https",
    };
    format!("{scheme}://{host}/v2")
}

/// Docker's rule of registries that need no encryption: localhost and 127.0.0.0/8.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost"
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The directory for a registry, `_default` if it has none of its own.
fn directory(registry: &str, host_dir: &Path) -> Option<PathBuf> {
    if host_dir.as_os_str().is_empty() {
        return None;
    }
    // Another form of `host:port`, for file systems without colons.
    let other = registry.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
    [Some(registry), other.as_deref(), Some("_default")]
        .into_iter()
        .flatten()
        .map(|name| host_dir.join(name))
        .find(|path| path.is_dir())
}

fn configured(
    registry: &str,
    options: &Options,
    common: &HeaderMap,
    directory: &Path,
    text: &str,
) -> Result<Vec<Host>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let mut hosts = Vec::new();
    for (url, value) in &file.host {
        let entry: Entry =
            value.clone().try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
        hosts.push(host(url, &entry, Some(registry), common, directory, options)?);
    }
    let server = file.server.clone().unwrap_or_else(|| {
        let usual = usual(registry, options);
        usual.strip_suffix("/v2").unwrap_or(&usual).to_owned()
    });
    hosts.push(host(&server, &file.own, None, common, directory, options)?);
    Ok(hosts)
}

fn host(
    url: &str,
    entry: &Entry,
    mirror_of: Option<&str>,
    common: &HeaderMap,
    directory: &Path,
    options: &Options,
) -> Result<Host, String> {
    let url = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(format!("{url:?} is neither http nor https"));
    }
    let base = url.trim_end_matches('/');
    let base = if entry.override_path || base.ends_with("/v2") {
        base.to_owned()
    } else {
        format!("{base}/v2")
    };
    let may = |what: &str| {
        entry.capabilities.as_ref().is_none_or(|list| list.iter().any(|word| word == what))
    };
    let mut own = common.clone();
    let pairs = entry
        .header
        .iter()
        .flat_map(|(name, values)| values.each().into_iter().map(move |value| (&**name, value)));
    own.extend(headers(pairs).map_err(|error| error.to_string())?);
    Ok(Host {
        base,
        mirror_of: mirror_of.map(str::to_owned),
        resolves: may("resolve"),
        pulls: may("pull"),
        headers: own,
        http: Tls::of_entry(entry, directory)
            .and_then(|tls| tls.client(options.stall))
            .map_err(|error| error.to_string())?,
    })
}

fn headers<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<HeaderMap, RegistryError> {
    let wrong = || RegistryError::Nonsense("header to send is not one");
    pairs
        .into_iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().map_err(|_| wrong())?;
            let mut value: HeaderValue = value.parse().map_err(|_| wrong())?;
            value.set_sensitive(name == reqwest::header::AUTHORIZATION);
            Ok((name, value))
        })
        .collect()
}

fn read(path: &Path) -> Result<Option<String>, RegistryError> {
    let wrong =
        |why: String| RegistryError::Configuration { path: path.display().to_string(), why };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > MAX_FILE => return Err(wrong("too large".to_owned())),
        _ => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(|error| wrong(error.to_string()))
}

#[derive(serde::Deserialize)]
struct File {
    server: Option<String>,
    #[serde(default)]
    host: toml::Table,
    #[serde(flatten)]
    own: Entry,
}

/// The settings of one place; unknown ones are left alone, as containerd leaves them.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Entry {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMore>,
    client: Option<toml::Value>,
    skip_verify: bool,
    override_path: bool,
    header: HashMap<String, OneOrMore>,
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn each(&self) -> Vec<&str> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts.iter().map(String::as_str).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(registry: &str, options: &Options) -> Vec<String> {
        of(registry, options).unwrap().into_iter().map(|host| host.base).collect()
    }

    #[test]
    fn without_configuration_only_local_registries_are_plain() {
        for (registry, base) in [
            ("docker.io", "https://registry-1.docker.io/v2"),
            ("r.example:5000", "https://r.example:5000/v2"),
            ("localhost:5000", "http://localhost:5000/v2"),
            ("127.1.2.3:80", "http://127.1.2.3:80/v2"),
            ("[::1]:80", "http://[::1]:80/v2"),
            ("127.0.0.1.example", "https://127.0.0.1.example/v2"),
        ] {
            assert_eq!(bases(registry, &Options::default()), [base]);
        }
        let plain = Options { default_scheme: "http".to_owned(), ..Options::default() };
        assert_eq!(bases("r.example", &plain), ["http://r.example/v2"]);
    }

    #[test]
    fn mirrors_come_in_their_order_and_the_server_last() {
        let directory = tempfile::TempDir::new().unwrap();
        let own = directory.path().join("docker.io");
        std::fs::create_dir(&own).unwrap();
        let text = r#"
            server = "https://upstream.example"
            [host."http://z.example:5000"]
            capabilities = ["pull", "resolve"]
            [host."https://a.example/prefix/v2"]
            capabilities = ["pull"]
            override_path = true
            skip_verify = true
            [host."https://a.example/prefix/v2".header]
            x-one = "1"
            x-two = ["2", "3"]
        "#;
        std::fs::write(own.join("hosts.toml"), text).unwrap();
        let options = Options { host_dir: directory.path().to_owned(), ..Options::default() };
        let hosts = of("docker.io", &options).unwrap();
        let bases: Vec<_> = hosts.iter().map(|host| host.base.as_str()).collect();
        assert_eq!(
            bases,
            [
                "http://z.example:5000/v2",
                "https://a.example/prefix/v2",
                "https://upstream.example/v2"
            ]
        );
        assert!(hosts[0].resolves && !hosts[1].resolves && hosts[2].resolves);
        assert_eq!(hosts[0].mirror_of.as_deref(), Some("docker.io"));
        assert_eq!(hosts[2].mirror_of, None);
        assert_eq!((hosts[1].headers.len(), hosts[1].authority()), (3, "a.example"));
        std::fs::write(own.join("hosts.toml"), "server = [").unwrap();
        assert!(of("docker.io", &options).is_err());
    }
}
