//! Reading a request's head.

use super::body::Framing;
use super::{Wire, WireError};
use crate::request::{Head, percent_decode};
use crate::server::within;
use bytes::Buf as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::io;
use std::time::Duration;

/// Bytes of a head; registry credentials and filters make long ones.
const LONGEST_HEAD: usize = 256 * 1024;
/// Headers of a head.
const MOST_HEADERS: usize = 128;
/// How long a head may take from its first byte to its last.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// A head that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    /// No request, or one that says two things about its body.
    #[error("malformed request head: {0}")]
    Malformed(&'static str),
    /// More bytes or headers than the caps.
    #[error("request head too large")]
    TooLarge,
    /// It does not come to its end.
    #[error("request head too slow")]
    TooSlow,
}

impl HeadError {
    /// What the client is told, in the form of Go's server.
    pub(super) fn answer(self) -> Vec<u8> {
        let status = match self {
            Self::Malformed(_) => "400 Bad Request",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::TooSlow => "408 Request Timeout",
        };
        let head = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n";
        format!("HTTP/1.1 {status}\r\n{head}{status}").into_bytes()
    }
}

impl Wire {
    /// The next request's head; `None` when the client closed the connection before one, or has
    /// been silent for too long.
    pub(super) async fn read_head(&mut self) -> Result<Option<(Head, Framing)>, WireError> {
        if self.inbox.is_empty() {
            let idle = self.connection.idle_time();
            match within(idle, self.fill()).await {
                Ok(0) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
                result => result?,
            };
        }
        match tokio::time::timeout(HEAD_TIME, self.rest_of_head()).await {
            Ok(result) => result,
            Err(_) => Err(HeadError::TooSlow.into()),
        }
    }

    async fn rest_of_head(&mut self) -> Result<Option<(Head, Framing)>, WireError> {
        let mut seen = 0;
        loop {
            // Once at the start, for what is no HTTP at all, and then only when it is there
            // whole: a head that came byte by byte would be parsed as often.
            if (seen == 0 || has_blank_line(&self.inbox[seen..]))
                && let Some((head, framing, length)) = parse(&self.inbox)?
            {
                self.inbox.advance(length);
                return Ok(Some((head, framing)));
            }
            if self.inbox.len() >= LONGEST_HEAD {
                return Err(HeadError::TooLarge.into());
            }
            // The blank line may have begun in what was there.
            seen = self.inbox.len().saturating_sub(3).max(1);
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Whether a line without content is in there, ended by CRLF or LF.
fn has_blank_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Parses a head if it is there whole, with its length.
fn parse(bytes: &[u8]) -> Result<Option<(Head, Framing, usize)>, HeadError> {
    let mut lines = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(_) => return Err(HeadError::Malformed("not HTTP/1")),
    };
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(HeadError::Malformed("no request line"));
    };
    let modern = version == 1;
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::Malformed("method"))?;
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| HeadError::Malformed("header name"))?;
        let value = HeaderValue::from_bytes(header.value)
            .map_err(|_| HeadError::Malformed("header value"))?;
        headers.append(name, value);
    }
    if modern && headers.get_all("host").iter().count() != 1 {
        return Err(HeadError::Malformed("not exactly one Host header"));
    }
    let framing = framing(&headers, modern)?;
    let (path, query) = split_target(target)?;
    Ok(Some((Head { method, path, query, headers, modern }, framing, length)))
}

/// Takes a target apart; an absolute one (`http://host/path`) counts without its host.
fn split_target(target: &str) -> Result<(String, String), HeadError> {
    let local = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let path = percent_decode(path).ok_or(HeadError::Malformed("path"))?;
    Ok((path, query.to_owned()))
}

/// How the body is framed. Two statements about it are refused, whatever they say: two readers of
/// one connection that choose differently is how requests are smuggled.
fn framing(headers: &HeaderMap, modern: bool) -> Result<Framing, HeadError> {
    let mut lengths = headers.get_all("content-length").iter();
    let mut encodings = headers.get_all("transfer-encoding").iter();
    match (lengths.next(), encodings.next()) {
        (None, None) => Ok(Framing::NONE),
        (Some(length), None) if lengths.next().is_none() => {
            let text = length.to_str().unwrap_or_default();
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(HeadError::Malformed("Content-Length"));
            }
            let length = text.parse().map_err(|_| HeadError::Malformed("Content-Length"))?;
            Ok(Framing::Length(length))
        }
        (None, Some(encoding))
            if modern
                && encodings.next().is_none()
                && encoding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(Framing::Chunked)
        }
        _ => Err(HeadError::Malformed("body framing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Option<(Head, Framing, usize)>, HeadError> {
        parse(text.as_bytes())
    }

    #[test]
    fn a_head_gives_path_query_and_framing() {
        let text = "POST /a%2Fb?x=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello";
        let (head, framing, length) = parse_text(text).unwrap().unwrap();
        assert_eq!((head.path.as_str(), head.query.as_str()), ("/a/b", "x=1"));
        assert_eq!(framing, Framing::Length(5));
        assert_eq!(&text[length..], "hello");
    }

    #[test]
    fn an_unfinished_head_waits() {
        assert!(parse_text("GET / HTTP/1.1\r\nHost: d\r\n").unwrap().is_none());
    }

    #[test]
    fn heads_that_could_be_read_two_ways_are_refused() {
        for lines in [
            "Host: d\r\nContent-Length: 5\r\nContent-Length: 5",
            "Host: d\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            "Host: d\r\nContent-Length: +5",
            "Host: d\r\nContent-Length: -1",
            "Host: d\r\nTransfer-Encoding: gzip, chunked",
            "Host: d\r\nHost: e",
            "Accept: */*",
        ] {
            let text = format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n");
            assert!(parse_text(&text).is_err(), "{lines}");
        }
    }

    #[test]
    fn a_blank_line_is_found_with_and_without_carriage_returns() {
        for text in ["a\r\n\r\nb", "a\n\nb", "a\n\r\n"] {
            assert!(has_blank_line(text.as_bytes()), "{text:?}");
        }
        for text in ["", "\n", "a\r\nb\r\n", "\r\n\r"] {
            assert!(!has_blank_line(text.as_bytes()), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_header_is_parsed_or_refused(name in "[ -~]{0,20}", value: Vec<u8>) {
            let mut bytes = b"GET / HTTP/1.1\r\nHost: d\r\n".to_vec();
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(&value);
            bytes.extend_from_slice(b"\r\n\r\n");
            let _ = parse(&bytes);
        }
    }
}
