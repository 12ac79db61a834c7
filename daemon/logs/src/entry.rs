//! One line of a json-file log.

use jiff::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Which of the process's outputs an entry came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, also a terminal's.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What the process wrote: a line with its newline, or a piece of a very long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it came from.
    pub stream: Stream,
    /// When it was read from the process.
    pub time: Timestamp,
    /// Labels and environment variables that `--log-opt` selected.
    pub attributes: BTreeMap<String, String>,
    /// The bytes.
    pub line: Vec<u8>,
}

/// The file's form of an entry (moby `daemon/logger/jsonfilelog/jsonlog`).
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default, borrow)]
    log: Cow<'a, str>,
    #[serde(default, borrow)]
    stream: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

impl Entry {
    /// Reads one line of the file; `None` for one that is damaged, which a reader skips.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        Some(Self {
            stream: if line.stream == "stderr" { Stream::Stderr } else { Stream::Stdout },
            time: line.time.parse().ok()?,
            attributes: line.attrs,
            line: line.log.into_owned().into_bytes(),
        })
    }

    /// The bytes as `docker logs` shows them: time and attributes first, when they are wanted.
    #[must_use]
    pub fn render(self, timestamps: bool, details: bool) -> Vec<u8> {
        if !timestamps && !details {
            return self.line;
        }
        let mut out = Vec::with_capacity(self.line.len() + 40);
        if timestamps {
            out.extend_from_slice(fixed_width(self.time).as_bytes());
            out.push(b' ');
        }
        if details {
            let attributes: Vec<String> = self
                .attributes
                .iter()
                .map(|(key, value)| format!("{}={}", escape(key), escape(value)))
                .collect();
            out.extend_from_slice(attributes.join(",").as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(&self.line);
        out
    }
}

/// RFC 3339 with all nine digits, so that the columns of a log line up.
fn fixed_width(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// Query escaping of an attribute, as moby's `url.QueryEscape`.
fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"log":"a \u003cb\n","stream":"stderr","attrs":{"k":"v w"},"time":"2026-01-02T03:04:05.6Z"}"#;

    #[test]
    fn a_line_of_the_file_is_an_entry() {
        let entry = Entry::parse(LINE).unwrap();
        assert_eq!(entry.stream, Stream::Stderr);
        assert_eq!(entry.line, b"a <b\n");
    }

    #[test]
    fn timestamps_have_nine_digits_and_details_are_escaped() {
        let entry = Entry::parse(LINE).unwrap();
        let text = String::from_utf8(entry.render(true, true)).unwrap();
        assert_eq!(text, "2026-01-02T03:04:05.600000000Z k=v+w a <b\n");
    }

    #[test]
    fn damaged_lines_are_no_entries() {
        assert!(Entry::parse(b"{\"log\":\"x").is_none());
        assert!(Entry::parse(b"\0\0\0").is_none());
        assert!(Entry::parse(br#"{"log":"x","stream":"stdout"}"#).is_none());
    }
}
