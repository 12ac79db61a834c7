//! Output cut into Docker's json-file entries.
//!
//! As dockerd does it (moby `daemon/logger/copier.go`, `jsonfilelog`): an entry a line, with its
//! newline; a line of more than 16 KiB becomes several entries, of which only the last has the
//! newline; what is left when the stream ends is an entry without one. The entries of one line
//! share the time of the first.

use std::mem;

/// Longest piece of a line in one entry.
pub(crate) const MAX_PIECE: usize = 16 << 10;

/// One stream's unfinished line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// The time of the first piece of a line that was cut.
    cut_at: Option<String>,
}

/// What an entry has after its text: `","stream":"stdout","time":"…"}` and a newline.
#[derive(Debug)]
pub(crate) struct Tail {
    before_time: String,
}

impl Tail {
    /// The tail for a stream, with `attrs` as a JSON object or empty.
    pub(crate) fn new(stream: &str, attrs: &str) -> Self {
        let attrs = if attrs.is_empty() { String::new() } else { format!(",\"attrs\":{attrs}") };
        Self { before_time: format!("\",\"stream\":\"{stream}\"{attrs},\"time\":\"") }
    }

    fn append(&self, out: &mut Vec<u8>, time: &str) {
        out.extend_from_slice(self.before_time.as_bytes());
        out.extend_from_slice(time.as_bytes());
        out.extend_from_slice(b"\"}\n");
    }
}

impl Lines {
    /// Appends to `out` the entries that `bytes`, read at `time`, complete; calls `between` after
    /// each, when `out` holds whole entries.
    pub(crate) fn append(
        &mut self,
        mut bytes: &[u8],
        time: &str,
        tail: &Tail,
        out: &mut Vec<u8>,
        mut between: impl FnMut(&mut Vec<u8>),
    ) {
        while !bytes.is_empty() {
            let room = MAX_PIECE - self.partial.len();
            let window = &bytes[..bytes.len().min(room)];
            let newline = window.iter().position(|byte| *byte == b'\n');
            let Some(end) = newline.or_else(|| (window.len() == room).then_some(room)) else {
                self.partial.extend_from_slice(window);
                return;
            };
            let (line, rest) = bytes.split_at(end);
            bytes = if newline.is_some() { &rest[1..] } else { rest };
            self.entry(line, newline.is_some(), time, tail, out);
            between(out);
        }
    }

    /// Appends the entry of a line that never got its newline.
    pub(crate) fn finish(&mut self, time: &str, tail: &Tail, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.entry(b"", false, time, tail, out);
        }
    }

    /// One entry: what was left before, then `line`.
    fn entry(&mut self, line: &[u8], whole: bool, time: &str, tail: &Tail, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"log\":\"");
        if self.partial.is_empty() {
            escape(out, line);
        } else {
            let mut joined = mem::take(&mut self.partial);
            joined.extend_from_slice(line);
            escape(out, &joined);
        }
        if whole {
            out.extend_from_slice(b"\\n");
            let time_of_first = self.cut_at.take();
            tail.append(out, time_of_first.as_deref().unwrap_or(time));
        } else {
            let time_of_first = self.cut_at.get_or_insert_with(|| time.to_owned());
            tail.append(out, time_of_first);
        }
    }
}

/// Bytes that stand for themselves inside a JSON string as Go writes it.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&');
        byte += 1;
    }
    plain
};

/// Appends `text` as the inside of a JSON string, as Docker's jsonlog does: `<`, `>`, `&` and
/// U+2028/9 escaped too, each byte that is no UTF-8 replaced by U+FFFD.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        escape_valid(out, chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn escape_valid(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        rest = &rest[run..];
        let Some(&byte) = rest.first() else { return };
        let taken = match byte {
            b'"' => push(out, b"\\\""),
            b'\\' => push(out, b"\\\\"),
            b'\n' => push(out, b"\\n"),
            b'\r' => push(out, b"\\r"),
            b'\t' => push(out, b"\\t"),
            0xe2 if rest.starts_with(b"\xe2\x80\xa8") => push(out, b"\\u2028") + 2,
            0xe2 if rest.starts_with(b"\xe2\x80\xa9") => push(out, b"\\u2029") + 2,
            0x80.. => push(out, &[byte]),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                push(out, &[b'\\', b'u', b'0', b'0', high, low])
            }
        };
        rest = &rest[taken..];
    }
}

/// Appends, and tells that one byte of the input is done.
fn push(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    out.extend_from_slice(bytes);
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, tail, mut out) = (Lines::default(), Tail::new("stdout", ""), Vec::new());
        for (index, chunk) in chunks.iter().enumerate() {
            lines.append(chunk, &format!("t{index}"), &tail, &mut out, |_| ());
        }
        lines.finish("end", &tail, &mut out);
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_entry_is_what_docker_writes() {
        assert_eq!(
            entries(&[b"he", b"llo\n"]),
            [r#"{"log":"hello\n","stream":"stdout","time":"t1"}"#]
        );
        assert_eq!(
            entries(&[b"\"\\\x01<\t\xff\xe2\x80\xa8\xc3\xa9"]),
            [concat!(
                r#"{"log":"\"\\\u0001\u003c\t\ufffd\u2028"#,
                "\u{e9}",
                r#"","stream":"stdout","time":"end"}"#
            )]
        );
    }

    #[test]
    fn a_long_line_is_cut_and_keeps_its_first_time() {
        let long = vec![b'x'; MAX_PIECE + 10];
        let found = entries(&[&long[..100], &long[100..], b"\nnext\n"]);
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with(r#"{"log":"xxx"#) && found[0].ends_with(r#""time":"t1"}"#));
        assert!(!found[0].contains("\\n"));
        assert_eq!(found[1], r#"{"log":"xxxxxxxxxx\n","stream":"stdout","time":"t1"}"#);
        assert_eq!(found[2], r#"{"log":"next\n","stream":"stdout","time":"t2"}"#);
    }

    #[test]
    fn the_text_survives_any_cut_of_the_stream() {
        let text: Vec<u8> = (0..40_000_u32).map(|n| (n % 251) as u8 & 0x7f).collect();
        let whole = entries(&[&text]);
        let halves = entries(&[&text[..17_000], &text[17_000..]]);
        let strip = |lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| line.split("\",\"stream").next().unwrap().to_owned()).collect()
        };
        assert_eq!(strip(&whole), strip(&halves));
    }

    #[test]
    fn labels_stand_between_stream_and_time() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        let tail = Tail::new("stderr", r#"{"a":"b"}"#);
        lines.append(b"\n", "t", &tail, &mut out, |_| ());
        let expected =
            "{\"log\":\"\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\"},\"time\":\"t\"}\n";
        assert_eq!(out, expected.as_bytes());
    }
}
