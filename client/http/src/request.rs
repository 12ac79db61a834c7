//! Requests and answers.

use crate::body::Body;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::hijack::Hijacked;
use crate::message::Head;
use contracts_engine_api::{ApiVersion, decode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::io::Read;

/// The longest body that is read whole: an `inspect` or a list.
const MAX_BODY: usize = 256 * 1024 * 1024;
/// The longest error text that is read.
const MAX_ERROR: usize = 1024 * 1024;

/// The methods of the Engine API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
}

impl Method {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Whether it changes nothing (RFC 9110, 9.2.1).
    pub(crate) const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    /// As Go's URL errors write it.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Get => "Get",
            Self::Head => "Head",
            Self::Post => "Post",
            Self::Put => "Put",
            Self::Delete => "Delete",
        }
    }
}

/// A request being put together.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'c> {
    pub(crate) client: &'c Client,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl<'c> Request<'c> {
    pub(crate) fn new(client: &'c Client, method: Method, path: &str) -> Self {
        let path = escape(path, Keep::Path);
        Self { client, method, path, query: Vec::new(), headers: Vec::new(), body: None }
    }

    /// Adds a query parameter.
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a query parameter if there is a value.
    pub fn query_if(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds `name=1` when `set`.
    pub fn flag(self, name: &'static str, set: bool) -> Self {
        if set { self.query(name, "1") } else { self }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value)
            .expect("request bodies have string keys and no fallible serialisers");
        self.body = Some(bytes);
        self
    }

    /// Sends it and reads the answer's head.
    ///
    /// # Errors
    ///
    /// When the daemon cannot be reached, or answers with a status of 400 or more.
    pub fn send(self) -> Result<Response<'c>> {
        self.client.send(&self)
    }

    /// Sends it and throws the answer's body away.
    ///
    /// # Errors
    ///
    /// As [`Request::send`].
    pub fn run(self) -> Result<()> {
        self.send()?.discard()
    }

    /// Sends it and reads the answer as JSON.
    ///
    /// # Errors
    ///
    /// As [`Request::send`]; and when the answer is not the JSON that is wanted.
    pub fn fetch<T: DeserializeOwned>(self) -> Result<T> {
        let path = self.path.clone();
        let bytes = self.send()?.bytes()?;
        decode::from_slice(&bytes).map_err(|source| Error::Json { path, source })
    }

    /// Sends it and takes the connection over.
    ///
    /// # Errors
    ///
    /// As [`Request::send`].
    pub fn hijack(self) -> Result<Hijacked> {
        self.client.hijack(&self)
    }

    /// Path and query, with the API version in front when there is one.
    pub(crate) fn target(&self, version: Option<&ApiVersion>) -> String {
        let mut out = String::with_capacity(self.path.len() + 64);
        if let Some(version) = version {
            let _ = write!(out, "/v{version}");
        }
        out.push_str(&self.path);
        // Sorted, as Go writes queries: error texts quote them.
        let mut query: Vec<_> = self.query.iter().collect();
        query.sort_by_key(|(name, _)| *name);
        for (index, (name, value)) in query.into_iter().enumerate() {
            out.push(if index == 0 { '?' } else { '&' });
            out.push_str(name);
            out.push('=');
            out.push_str(&escape(value, Keep::Nothing));
        }
        out
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Response<'c> {
    pub(crate) head: Head,
    pub(crate) body: Body<'c>,
}

impl<'c> Response<'c> {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body, for streams.
    #[must_use]
    pub fn into_body(self) -> Body<'c> {
        self.body
    }

    /// The whole body.
    ///
    /// # Errors
    ///
    /// When the connection breaks or the body is too long.
    pub fn bytes(self) -> Result<Vec<u8>> {
        read_whole(self.body, MAX_BODY)
    }

    /// Reads the body and throws it away, so that the connection can be used again.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub fn discard(mut self) -> Result<()> {
        std::io::copy(&mut self.body, &mut std::io::sink())
            .map(drop)
            .map_err(|source| Error::Broken { during: "reading the answer", source })
    }

    /// The refusal that this answer is.
    pub(crate) fn into_error(self) -> Error {
        let status = self.head.status;
        match read_whole(self.body, MAX_ERROR) {
            Ok(bytes) => Error::Answer { status, message: message_of(status, &bytes) },
            Err(error) => error,
        }
    }
}

fn read_whole(body: Body<'_>, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    body.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Broken { during: "reading the answer", source })?;
    if bytes.len() > limit { Err(Error::TooLong { limit }) } else { Ok(bytes) }
}

/// The words of an error body: JSON's `message`, else the text, else the status.
pub(crate) fn message_of(status: u16, bytes: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(bytes) {
        return refusal.message.trim().to_owned();
    }
    let text = String::from_utf8_lossy(bytes).trim().to_owned();
    if text.is_empty() { format!("request returned status {status}") } else { text }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Path,
    Nothing,
}

fn escape(text: &str, keep: Keep) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' | b':' | b'@' | b'+' | b'=' | b'$' | b'&' if keep == Keep::Path => {
                out.push(char::from(byte));
            }
            b' ' if keep == Keep::Nothing => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bytes_are_escaped() {
        assert_eq!(escape("a b/c?é", Keep::Path), "a%20b/c%3F%C3%A9");
        assert_eq!(escape("a b/c&d", Keep::Nothing), "a+b%2Fc%26d");
    }

    #[test]
    fn an_error_body_may_be_json_text_or_nothing() {
        assert_eq!(
            message_of(404, b"{\"message\":\"No such container: x\"}\n"),
            "No such container: x"
        );
        assert_eq!(message_of(404, b"plain\r\n"), "plain");
        assert_eq!(message_of(502, b""), "request returned status 502");
    }
}
