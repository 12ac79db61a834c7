//! HTTP/1.1 heads: writing a request's, reading an answer's.

use crate::error::{Error, Result};
use crate::request::Method;
use crate::transport::Stream;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};

/// The longest head that is accepted.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// An answer's head.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn says(&self, name: &str, token: &str) -> bool {
        self.header(name).is_some_and(|value| {
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    }
}

/// What goes into a request's head.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) content: Option<(&'a str, usize)>,
    pub(crate) upgrade: bool,
}

impl Outgoing<'_> {
    /// The head's bytes, with room for `body` bytes after them.
    pub(crate) fn encode(&self, body: usize) -> Vec<u8> {
        let mut out = String::with_capacity(512 + self.target.len() + body);
        let _ = write!(
            out,
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method.name(),
            self.target,
            self.host
        );
        for (name, value) in self.headers {
            // Values come from a configuration file: a line break would forge a header.
            if !value.bytes().any(|b| b.is_ascii_control()) {
                let _ = write!(out, "{name}: {value}\r\n");
            }
        }
        if self.upgrade {
            out.push_str("Connection: Upgrade\r\nUpgrade: tcp\r\n");
        }
        match self.content {
            Some((kind, length)) => {
                let _ = write!(out, "Content-Type: {kind}\r\nContent-Length: {length}\r\n");
            }
            None if self.method == Method::Post => out.push_str("Content-Length: 0\r\n"),
            None => {}
        }
        out.push_str("\r\n");
        out.into_bytes()
    }
}

/// Reads a head; 1xx answers other than 101 are passed over.
pub(crate) fn read_head(from: &mut BufReader<Stream>) -> Result<Head> {
    loop {
        let bytes = head_bytes(from)?;
        let head = parse(&bytes)?;
        if head.status == 101 || head.status >= 200 {
            return Ok(head);
        }
    }
}

fn head_bytes(from: &mut BufReader<Stream>) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    loop {
        let before = head.len();
        let available = match from.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Broken { during: "reading the answer", source }),
        };
        if available.is_empty() {
            let source = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "EOF");
            return Err(Error::Broken { during: "the daemon closed the connection", source });
        }
        head.extend_from_slice(available);
        // The end mark may lie across two reads.
        let from_here = before.saturating_sub(3);
        if let Some(at) = find(&head[from_here..], b"\r\n\r\n") {
            let end = from_here + at + 4;
            from.consume(end - before);
            head.truncate(end);
            return Ok(head);
        }
        let length = head.len() - before;
        from.consume(length);
        if head.len() > MAX_HEAD {
            return Err(Error::TooLong { limit: MAX_HEAD });
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn parse(bytes: &[u8]) -> Result<Head> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err(Error::Protocol("no HTTP/1.1 head")),
    }
    let status = answer.code.ok_or(Error::Protocol("no status"))?;
    let headers = answer
        .headers
        .iter()
        .map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).trim().to_owned()))
        .collect();
    Ok(Head { status, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_name_their_host_and_length() {
        let headers = [("A".to_owned(), "b".to_owned()), ("X".to_owned(), "y\r\nZ: 1".to_owned())];
        let head = Outgoing {
            method: Method::Post,
            target: "/x",
            host: "docker",
            headers: &headers,
            content: Some(("application/json", 2)),
            upgrade: false,
        };
        assert_eq!(
            String::from_utf8(head.encode(2)).unwrap(),
            "POST /x HTTP/1.1\r\nHost: docker\r\nA: b\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n"
        );
    }

    #[test]
    fn header_names_have_no_case_and_lists_have_tokens() {
        let head =
            parse(b"HTTP/1.1 101 UPGRADED\r\nconnection: keep-alive, Upgrade\r\n\r\n").unwrap();
        assert_eq!(head.status, 101);
        assert!(head.says("Connection", "upgrade"));
        assert!(parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}
