//! Sending an answer.

use super::Wire;
use crate::reply::{Answer, Body};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::HeaderMap;
use std::io;
use tokio::io::AsyncWriteExt as _;

impl Wire {
    /// Sends an answer; streams end early, without an error, when the client leaves.
    pub(super) async fn send(
        &mut self,
        answer: Answer,
        modern: bool,
        bodiless: bool,
        keep: bool,
    ) -> io::Result<()> {
        let mut bytes = status_line(&answer);
        headers(&mut bytes, &answer.headers);
        bytes.extend_from_slice(format!("Date: {}\r\n", date()).as_bytes());
        if !keep {
            bytes.extend_from_slice(b"Connection: close\r\n");
        }
        match answer.body {
            Body::Absent => {
                bytes.extend_from_slice(b"\r\n");
                self.write(&bytes).await
            }
            Body::Whole(body) => {
                bytes.extend_from_slice(
                    format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(),
                );
                if !bodiless {
                    bytes.extend_from_slice(&body);
                }
                self.write(&bytes).await
            }
            Body::Stream(pieces) => {
                if modern {
                    bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                }
                bytes.extend_from_slice(b"\r\n");
                self.write(&bytes).await?;
                self.send_pieces(pieces, modern).await
            }
        }
    }

    async fn send_pieces(
        &mut self,
        mut pieces: BoxStream<'static, Bytes>,
        chunked: bool,
    ) -> io::Result<()> {
        loop {
            let piece = tokio::select! {
                // Cancel-safe: bytes that arrive meanwhile stay in the inbox.
                () = self.gone() => return Err(io::ErrorKind::ConnectionAborted.into()),
                piece = pieces.next() => piece,
            };
            match piece {
                Some(piece) if piece.is_empty() => {}
                Some(piece) if chunked => {
                    let mut chunk = Vec::with_capacity(piece.len() + 16);
                    chunk.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    chunk.extend_from_slice(&piece);
                    chunk.extend_from_slice(b"\r\n");
                    self.write(&chunk).await?;
                }
                Some(piece) => self.write(&piece).await?,
                None if chunked => return self.write(b"0\r\n\r\n").await,
                None => return self.connection.shutdown().await,
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.write_all(bytes).await?;
        self.connection.flush().await
    }
}

fn status_line(answer: &Answer) -> Vec<u8> {
    let reason = answer.status.canonical_reason().unwrap_or("Unknown");
    format!("HTTP/1.1 {} {reason}\r\n", answer.status.as_u16()).into_bytes()
}

/// Appends headers in the alphabet's order and with Go's capitals (`Api-Version`), because there
/// are clients that compare them as text.
pub(super) fn headers(bytes: &mut Vec<u8>, headers: &HeaderMap) {
    let mut lines: Vec<_> = headers.iter().collect();
    lines.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in lines {
        let mut start = true;
        for byte in name.as_str().bytes() {
            bytes.push(if start { byte.to_ascii_uppercase() } else { byte });
            start = byte == b'-';
        }
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
}

/// Now, as RFC 9110 writes it.
fn date() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
