//! Proves to a registry who asks: Basic, or a token from the server that it names
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use super::challenge::{self, Challenge};
use super::{Reference, read_body};
use crate::error::RegistryError;
use crate::hosts::Host;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, Url};
use std::sync::{Arc, Mutex, PoisonError};

/// The longest answer of a token server.
const MAX_TOKEN: u64 = 1 << 20;

/// The longest challenge passed to the client.
const MAX_CHALLENGES: usize = 10;

/// What a client knows about who asks.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// Nobody in particular.
    None,
    /// Name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        secret: String,
    },
    /// A token to be exchanged for others.
    Refresh(String),
    /// The value of the Authorization header.
    Header(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "Credentials::None",
            Self::Password { .. } => "Credentials::Password(…)",
            Self::Refresh(_) => "Credentials::Refresh(…)",
            Self::Header(_) => "Credentials::Header(…)",
        })
    }
}

/// Who is asked for credentials, once a registry wants them.
#[tonic::async_trait]
pub(crate) trait CredentialSource: Send + Sync {
    /// The credentials for a host, which sent these challenges for this reference.
    ///
    /// # Errors
    /// Whoever should know does not answer.
    async fn credentials(
        &self,
        host: &str,
        reference: &str,
        challenges: Vec<String>,
    ) -> Result<Credentials, RegistryError>;
}

/// Nobody to ask.
pub(crate) struct NoCredentials;

#[tonic::async_trait]
impl CredentialSource for NoCredentials {
    async fn credentials(
        &self,
        _: &str,
        _: &str,
        _: Vec<String>,
    ) -> Result<Credentials, RegistryError> {
        Ok(Credentials::None)
    }
}

/// The authorization for one repository at one place.
pub(super) struct Authorizer {
    reference: String,
    scope: String,
    credentials: Arc<dyn CredentialSource>,
    known: Mutex<Option<HeaderValue>>,
}

impl Authorizer {
    pub(super) fn new(reference: &Reference, credentials: Arc<dyn CredentialSource>) -> Self {
        Self {
            reference: reference.to_string(),
            scope: format!("repository:{}:pull", reference.repository()),
            credentials,
            known: Mutex::new(None),
        }
    }

    /// What was good for an earlier request.
    pub(super) fn known(&self) -> Option<HeaderValue> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers the challenges of a 401.
    pub(super) async fn authorize(
        &self,
        host: &Host,
        response: &Response,
    ) -> Result<HeaderValue, RegistryError> {
        let texts: Vec<String> = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .take(MAX_CHALLENGES)
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        let challenges: Vec<_> = texts.iter().flat_map(|text| challenge::parse(text)).collect();
        let credentials =
            self.credentials.credentials(host.authority(), &self.reference, texts).await?;
        let value = match &credentials {
            Credentials::Header(value) => value.clone(),
            _ => self.answer(host, &challenges, &credentials).await?,
        };
        let mut value: HeaderValue =
            value.parse().map_err(|_| RegistryError::Nonsense("token is not one"))?;
        value.set_sensitive(true);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(value.clone());
        Ok(value)
    }

    async fn answer(
        &self,
        host: &Host,
        challenges: &[Challenge],
        credentials: &Credentials,
    ) -> Result<String, RegistryError> {
        let find = |scheme: &str| challenges.iter().find(|one| one.scheme == scheme);
        if let Some(bearer) = find("bearer") {
            let token = self.token(host, bearer, credentials).await?;
            return Ok(format!("Bearer {token}"));
        }
        match (find("basic"), credentials) {
            (Some(_), Credentials::Password { user, secret }) => {
                Ok(format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))))
            }
            _ => Err(self.unauthorized("no basic auth credentials")),
        }
    }

    async fn token(
        &self,
        host: &Host,
        bearer: &Challenge,
        credentials: &Credentials,
    ) -> Result<String, RegistryError> {
        let parameter = |key: &str| bearer.parameters.get(key).map(String::as_str);
        let realm = parameter("realm").ok_or(RegistryError::Nonsense("challenge has no realm"))?;
        let realm: Url =
            realm.parse().map_err(|_| RegistryError::Nonsense("challenge has a bad realm"))?;
        let anonymous = matches!(credentials, Credentials::None);
        // A registry that is reached encrypted must not make us say secrets in the clear.
        let plain = realm.scheme() != "https" && host.is_encrypted();
        if !matches!(realm.scheme(), "http" | "https") || (plain && !anonymous) {
            return Err(RegistryError::Nonsense("challenge has an unsafe realm"));
        }
        let scope = parameter("scope").unwrap_or(&self.scope);
        let service = parameter("service").unwrap_or_default();
        let request = match credentials {
            Credentials::Refresh(token) => {
                let form = form(&[
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token),
                    ("service", service),
                    ("scope", scope),
                    ("client_id", "gantry"),
                ]);
                host.http
                    .request(Method::POST, &realm)?
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form)
            }
            other => {
                let mut url = realm;
                if !service.is_empty() {
                    url.query_pairs_mut().append_pair("service", service);
                }
                url.query_pairs_mut().append_pair("scope", scope);
                let request = host.http.request(Method::GET, &url)?;
                match other {
                    Credentials::Password { user, secret } => {
                        request.basic_auth(user, Some(secret))
                    }
                    _ => request,
                }
            }
        };
        self.fetch(request).await
    }

    async fn fetch(&self, request: reqwest::RequestBuilder) -> Result<String, RegistryError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let response = request.send().await.map_err(|error| {
            let url = error.url().map(|url| url.as_str().to_owned()).unwrap_or_default();
            RegistryError::unreachable("Get", &url, error)
        })?;
        let status = response.status();
        if !status.is_success() {
            return Err(
                self.unauthorized(&format!("failed to fetch token: unexpected status: {status}"))
            );
        }
        let body = read_body(response, MAX_TOKEN).await?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| RegistryError::Nonsense("token server's answer is not one"))?;
        answer
            .token
            .or(answer.access_token)
            .filter(|token| !token.is_empty())
            .ok_or(RegistryError::Nonsense("token server gave no token"))
    }

    fn unauthorized(&self, message: &str) -> RegistryError {
        RegistryError::Unauthorized { what: self.reference.clone(), message: message.to_owned() }
    }
}

/// `application/x-www-form-urlencoded`.
fn form(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://form").expect("a constant address parses");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}
