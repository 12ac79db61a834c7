//! Whom to trust, and how to prove who we are.

use super::{Entry, RegistryError, read};
use reqwest::{Certificate, ClientBuilder, Identity};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(30);

/// How long an answer may stand still.
const STALL: Duration = Duration::from_secs(60);

/// Certificates beyond the system's.
#[derive(Default)]
pub(super) struct Tls {
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
    skip_verify: bool,
}

impl Tls {
    /// Docker's `certs.d` form.
    pub(super) fn of_directory(directory: &Path) -> Result<Self, RegistryError> {
        let mut tls = Self::default();
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => tls.trust(&path)?,
                Some("cert") => tls.identify(&path, &path.with_extension("key"))?,
                _ => {}
            }
        }
        Ok(tls)
    }

    /// containerd's `hosts.toml` form; names are relative to the file.
    pub(super) fn of_entry(entry: &Entry, directory: &Path) -> Result<Self, RegistryError> {
        let mut tls = Self { skip_verify: entry.skip_verify, ..Self::default() };
        for path in entry.ca.iter().flat_map(super::OneOrMore::each) {
            tls.trust(&directory.join(path))?;
        }
        match entry.client.as_ref().map(first_pair) {
            Some(Some((certificate, key))) => {
                tls.identify(&directory.join(certificate), &directory.join(key))?;
            }
            Some(None) => return Err(wrong(directory, "client is not a pair of files")),
            None => {}
        }
        Ok(tls)
    }

    fn trust(&mut self, path: &Path) -> Result<(), RegistryError> {
        let pem = read(path)?.ok_or_else(|| wrong(path, "no such file"))?;
        let certificates = Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|_| wrong(path, "not a certificate"))?;
        self.authorities.extend(certificates);
        Ok(())
    }

    fn identify(&mut self, certificate: &Path, key: &Path) -> Result<(), RegistryError> {
        let mut pem = read(certificate)?.ok_or_else(|| wrong(certificate, "no such file"))?;
        pem.push_str(&read(key)?.ok_or_else(|| wrong(key, "no such file"))?);
        let identity = Identity::from_pem(pem.as_bytes())
            .map_err(|_| wrong(certificate, "not a certificate with its key"))?;
        self.identity = Some(identity);
        Ok(())
    }

    fn is_plain(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none() && !self.skip_verify
    }

    /// A client that trusts so. The usual one is made once: it reads the system's certificates.
    pub(super) fn client(self) -> Result<reqwest::Client, RegistryError> {
        static USUAL: OnceLock<reqwest::Client> = OnceLock::new();
        if self.is_plain() {
            if let Some(client) = USUAL.get() {
                return Ok(client.clone());
            }
            let client = build(base())?;
            return Ok(USUAL.get_or_init(|| client).clone());
        }
        let mut builder = base().tls_danger_accept_invalid_certs(self.skip_verify);
        if !self.authorities.is_empty() {
            builder = builder.tls_certs_merge(self.authorities);
        }
        if let Some(identity) = self.identity {
            builder = builder.identity(identity);
        }
        build(builder)
    }
}

fn base() -> ClientBuilder {
    // A second installation fails and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(STALL)
        .redirect(reqwest::redirect::Policy::limited(10))
}

/// On a machine without any certificates only unencrypted registries can be reached: such a
/// client follows no redirection, so that nothing unverified is ever encrypted.
fn build(builder: ClientBuilder) -> Result<reqwest::Client, RegistryError> {
    builder.build().or_else(|error| {
        tracing::warn!(%error, "no certificates: only unencrypted registries can be reached");
        base()
            .tls_certs_only([])
            .tls_danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| RegistryError::Nonsense("client cannot be made"))
    })
}

/// `["cert", "key"]` or `[["cert", "key"], …]`.
fn first_pair(value: &toml::Value) -> Option<(String, String)> {
    let list = value.as_array()?;
    let pair = list.first().and_then(toml::Value::as_array).unwrap_or(list);
    match &pair[..] {
        [certificate, key] => Some((certificate.as_str()?.to_owned(), key.as_str()?.to_owned())),
        _ => None,
    }
}

fn wrong(path: &Path, why: &str) -> RegistryError {
    RegistryError::Configuration { path: path.display().to_string(), why: why.to_owned() }
}
