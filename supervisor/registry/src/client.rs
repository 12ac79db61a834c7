//! Asks a registry for manifests and blobs (OCI distribution-spec).

mod authorize;
mod challenge;

pub(crate) use authorize::{CredentialSource, Credentials, NoCredentials};

use crate::documents::ACCEPT;
use crate::error::RegistryError;
use crate::hosts::{self, Host, Options};
use crate::reference::Reference;
use authorize::Authorizer;
use base_ids::Digest;
use base_oci::image::Descriptor;
use reqwest::header::{ACCEPT as ACCEPT_HEADER, AUTHORIZATION, CONTENT_TYPE, HeaderMap, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use std::sync::Arc;
use std::time::Duration;

/// Words of a registry's error answer that are passed on.
const MAX_MESSAGE: u64 = 64 << 10;

/// Addresses of a layer outside the registry that are tried.
const MAX_FOREIGN: usize = 8;

/// A repository in a registry, with whoever may be asked for it.
pub(crate) struct Registry {
    reference: Reference,
    hosts: Vec<(Host, Authorizer)>,
    stall: Duration,
}

impl Registry {
    pub(crate) fn new(
        reference: &Reference,
        options: &Options,
        credentials: &Arc<dyn CredentialSource>,
    ) -> Result<Self, RegistryError> {
        let hosts = hosts::of(reference.host(), options)?
            .into_iter()
            .map(|host| {
                let authorizer = Authorizer::new(reference, Arc::clone(credentials));
                (host, authorizer)
            })
            .collect();
        Ok(Self { reference: reference.clone(), hosts, stall: options.stall })
    }

    /// What the reference stands for now.
    pub(crate) async fn resolve(&self) -> Result<Descriptor, RegistryError> {
        let path = format!("manifests/{}", self.reference.object());
        let mut first_error = None;
        for (host, authorizer) in self.hosts.iter().filter(|(host, _)| host.resolves) {
            let ask = Ask { host, authorizer, repository: self.reference.repository() };
            match ask.resolve(&path, self.reference.digest()).await {
                Ok(descriptor) => return Ok(descriptor),
                Err(error) => keep_first(&mut first_error, error),
            }
        }
        Err(match first_error {
            Some(RegistryError::NotFound(_)) | None => {
                RegistryError::NotFound(self.reference.to_string())
            }
            Some(error) => error,
        })
    }

    /// A manifest's bytes, not yet verified.
    pub(crate) async fn manifest(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let path = format!("manifests/{}", descriptor.digest);
        let accept = format!("{}, */*", descriptor.media_type);
        let response = self.get(&path, &accept, 0).await?;
        read_body(response, limit).await
    }

    /// A blob's bytes from `offset` on; told is where they really begin.
    pub(crate) async fn blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<(Response, u64), RegistryError> {
        let path = format!("blobs/{}", descriptor.digest);
        let answer = match self.get(&path, "*/*", offset).await {
            // Layers that may not be distributed say where else they are.
            Err(error @ RegistryError::NotFound(_)) if !descriptor.urls.is_empty() => {
                self.foreign(descriptor, offset).await.map_err(|()| error)
            }
            other => other,
        }?;
        let begins = match answer.status() {
            // One that does not say where it begins, begins where it was asked to.
            StatusCode::PARTIAL_CONTENT => range_start(answer.headers()).unwrap_or(offset),
            _ => 0,
        };
        if begins != 0 && begins != offset {
            return Err(RegistryError::Nonsense("sent another part of a blob than was asked for"));
        }
        Ok((answer, begins))
    }

    /// Fetches from the addresses that a manifest names. They are a stranger's: no credentials, no
    /// configured headers, no client certificate go there (CVE-2020-15157), and only the system's
    /// authorities speak for them.
    async fn foreign(&self, descriptor: &Descriptor, offset: u64) -> Result<Response, ()> {
        let http = hosts::plain_client(self.stall).map_err(drop)?;
        let urls = descriptor.urls.iter().take(MAX_FOREIGN).filter_map(|url| url.parse().ok());
        for url in urls.filter(|url: &Url| url.scheme() == "https") {
            let mut request = http.request(Method::GET, &url).map_err(drop)?;
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            if let Ok(response) = request.send().await
                && response.status().is_success()
            {
                return Ok(response);
            }
        }
        Err(())
    }

    async fn get(&self, path: &str, accept: &str, offset: u64) -> Result<Response, RegistryError> {
        let mut first_error = None;
        for (host, authorizer) in self.hosts.iter().filter(|(host, _)| host.pulls) {
            let ask = Ask { host, authorizer, repository: self.reference.repository() };
            match ask.send(&Method::GET, path, accept, offset).await {
                Ok(response) => return Ok(response),
                Err(error) => keep_first(&mut first_error, error),
            }
        }
        Err(first_error.unwrap_or_else(|| RegistryError::NotFound(path.to_owned())))
    }
}

/// What other places say about a failure counts only where no earlier one said more than that it
/// has no such thing.
fn keep_first(first: &mut Option<RegistryError>, error: RegistryError) {
    if matches!(first, None | Some(RegistryError::NotFound(_))) {
        *first = Some(error);
    }
}

/// Questions to one place.
struct Ask<'a> {
    host: &'a Host,
    authorizer: &'a Authorizer,
    repository: &'a str,
}

impl Ask<'_> {
    /// HEAD first: it is not counted against rate limits.
    async fn resolve(
        &self,
        path: &str,
        wanted: Option<&Digest>,
    ) -> Result<Descriptor, RegistryError> {
        let head = self.send(&Method::HEAD, path, ACCEPT, 0).await?;
        let told = wanted
            .cloned()
            .or_else(|| header(head.headers(), "docker-content-digest")?.parse().ok());
        let length: Option<i64> =
            header(head.headers(), "content-length").and_then(|length| length.parse().ok());
        if let (Some(digest), Some(size @ 1..)) = (told, length) {
            return Ok(Descriptor {
                media_type: media_type(head.headers()),
                digest: digest.to_string(),
                size,
                ..Descriptor::default()
            });
        }
        // It told too little: read it and see.
        let get = self.send(&Method::GET, path, ACCEPT, 0).await?;
        let kind = media_type(get.headers());
        let body = read_body(get, crate::documents::MAX_MANIFEST).await?;
        let digest = {
            use sha2::{Digest as _, Sha256};
            Digest::from_sha256(&Sha256::digest(&body).into())
        };
        Ok(Descriptor {
            media_type: kind,
            digest: digest.to_string(),
            size: i64::try_from(body.len()).unwrap_or(i64::MAX),
            ..Descriptor::default()
        })
    }

    /// Sends a request; once more with authorization, if the registry wants to know who asks.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        accept: &str,
        offset: u64,
    ) -> Result<Response, RegistryError> {
        let mut url = format!("{}/{}/{path}", self.host.base, self.repository);
        if let Some(registry) = &self.host.mirror_of {
            url.push_str("?ns=");
            url.push_str(registry);
        }
        let parsed: Url =
            url.parse().map_err(|_| RegistryError::Nonsense("has an address that is none"))?;
        let mut authorization = self.authorizer.known();
        for again in [true, false] {
            let mut request = self
                .host
                .http
                .request(method.clone(), &parsed)?
                .headers(self.host.headers.clone())
                .header(ACCEPT_HEADER, accept);
            if let Some(value) = &authorization {
                request = request.header(AUTHORIZATION, value.clone());
            }
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            let response = request
                .send()
                .await
                .map_err(|error| RegistryError::unreachable(method_name(method), &url, error))?;
            if response.status() == StatusCode::UNAUTHORIZED && again {
                authorization = Some(self.authorizer.authorize(self.host, &response).await?);
                continue;
            }
            return check(method, &url, response).await;
        }
        unreachable!("the second round returns")
    }
}

/// Turns refusals into errors.
async fn check(method: &Method, url: &str, response: Response) -> Result<Response, RegistryError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let message = message(response).await;
    let or_status = |message: String| if message.is_empty() { status.to_string() } else { message };
    Err(match status {
        StatusCode::NOT_FOUND => RegistryError::NotFound(url.to_owned()),
        StatusCode::UNAUTHORIZED => {
            RegistryError::Denied(format!("{}: authorization failed", or_status(message)))
        }
        StatusCode::FORBIDDEN => RegistryError::Denied(or_status(message)),
        StatusCode::TOO_MANY_REQUESTS => RegistryError::TooManyRequests(or_status(message)),
        _ => RegistryError::Status {
            method: method_name(method),
            url: url.to_owned(),
            status: status.as_u16(),
            message: if message.is_empty() { message } else { format!(": {message}") },
        },
    })
}

/// The words of an error answer: `{"errors":[{"code":…,"message":…}]}`.
async fn message(response: Response) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Entry {
        code: String,
        message: String,
    }
    let Ok(data) = read_body(response, MAX_MESSAGE).await else { return String::new() };
    let Ok(body) = serde_json::from_slice::<Body>(&data) else { return String::new() };
    let texts: Vec<_> = body
        .errors
        .iter()
        .take(3)
        .map(|entry| format!("{}: {}", entry.code.to_ascii_lowercase(), entry.message))
        .collect();
    texts.join(", ").chars().filter(|c| !c.is_control()).take(500).collect()
}

/// Reads an answer of at most `limit` bytes.
pub(crate) async fn read_body(
    mut response: Response,
    limit: u64,
) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() as u64 + chunk.len() as u64 > limit => {
                return Err(RegistryError::TooLong(limit));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => {
                return Err(RegistryError::unreachable("Get", response.url().as_str(), error));
            }
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Where a partial answer begins: `Content-Range: bytes START-END/SIZE`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    header(headers, "content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_owned()
}

/// As Go writes methods in errors, which people search for.
fn method_name(method: &Method) -> &'static str {
    if *method == Method::HEAD { "Head" } else { "Get" }
}
