//! Whom to trust, and how to prove who we are.

use super::{Entry, RegistryError, read};
use reqwest::{Certificate, ClientBuilder, Identity, Method, RequestBuilder, Url};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(30);

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

    /// A client that trusts so, and gives up on an answer that stands still for so long. The usual
    /// one is made once: it reads the system's certificates.
    pub(super) fn client(self, stall: Duration) -> Result<Http, RegistryError> {
        static USUAL: Mutex<Option<(Duration, Http)>> = Mutex::new(None);
        if !self.is_plain() {
            return self.build(stall);
        }
        let mut usual = USUAL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, http)) = usual.as_ref().filter(|(its, _)| *its == stall) {
            return Ok(http.clone());
        }
        let http = self.build(stall)?;
        *usual = Some((stall, http.clone()));
        Ok(http)
    }

    fn build(self, stall: Duration) -> Result<Http, RegistryError> {
        let mut builder = base(stall).tls_danger_accept_invalid_certs(self.skip_verify);
        if !self.authorities.is_empty() {
            builder = builder.tls_certs_merge(self.authorities);
        }
        if let Some(identity) = self.identity {
            builder = builder.identity(identity);
        }
        builder.build().map(|client| Http { client, encrypts: true }).or_else(|error| {
            tracing::warn!(%error, "no certificates: only unencrypted registries can be reached");
            Http::unencrypted(stall)
        })
    }
}

/// Sends requests.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    /// Whether it can tell who is at the other end of an encrypted connection.
    encrypts: bool,
}

impl Http {
    /// For a machine without any certificates. The library makes no client that trusts nobody, so
    /// this one would trust anybody: it is given no encrypted address and follows to none.
    fn unencrypted(stall: Duration) -> Result<Self, RegistryError> {
        base(stall)
            .tls_certs_only([])
            .tls_danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map(|client| Self { client, encrypts: false })
            .map_err(|_| RegistryError::Nonsense("client cannot be made"))
    }

    /// A request to an address.
    ///
    /// # Errors
    /// It is an encrypted one, and nobody's certificate can be verified here.
    pub(crate) fn request(
        &self,
        method: Method,
        url: &Url,
    ) -> Result<RequestBuilder, RegistryError> {
        if url.scheme() != "http" && !self.encrypts {
            return Err(RegistryError::NoAuthorities(url.to_string()));
        }
        Ok(self.client.request(method, url.clone()))
    }
}

fn base(stall: Duration) -> ClientBuilder {
    // A second installation fails and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(stall)
        .redirect(reqwest::redirect::Policy::limited(10))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_authorities_nothing_is_encrypted_to_whoever_answers() {
        let http = Http::unencrypted(Duration::from_secs(1)).unwrap();
        let ask = |url: &str| http.request(Method::GET, &url.parse().unwrap());
        assert!(ask("http://127.0.0.1:5000/v2/").is_ok());
        let error = ask("https://registry.example/v2/").unwrap_err().to_string();
        assert!(error.contains("install"), "{error}");
    }
}
