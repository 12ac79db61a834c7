//! Reading a request's body.

use super::{Wire, WireError};
use bytes::{Buf as _, Bytes, BytesMut};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// Bytes of a body that is read whole. A create request with every field is a few KiB.
pub(crate) const LONGEST_BODY: u64 = 8 << 20;
/// How long a body may stand still.
const BODY_PAUSE: Duration = Duration::from_secs(60);
/// Bytes of the line in front of a chunk, extensions included.
const LONGEST_CHUNK_LINE: usize = 256;
/// Bytes of the lines behind the last chunk.
const LONGEST_TRAILER: usize = 8 * 1024;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

impl Framing {
    /// There is no body.
    pub(super) const NONE: Self = Self::Length(0);
}

/// A body that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// More than the cap.
    #[error("request body too large")]
    TooLarge,
    /// The connection ended first.
    #[error("request body cut short")]
    CutShort,
    /// Nothing came for too long.
    #[error("request body too slow")]
    TooSlow,
    /// Not in chunks although the head said so.
    #[error("malformed chunk")]
    Malformed,
}

impl Wire {
    /// Reads a whole body, after telling a client that waits for it to go on.
    pub(super) async fn read_body(
        &mut self,
        framing: Framing,
        expects_continue: bool,
    ) -> Result<Bytes, WireError> {
        if expects_continue && framing != Framing::NONE {
            self.connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        match framing {
            Framing::Length(length) => self.read_exactly(length, LONGEST_BODY).await,
            Framing::Chunked => self.read_chunks().await,
        }
    }

    async fn read_exactly(&mut self, length: u64, cap: u64) -> Result<Bytes, WireError> {
        if length > cap {
            return Err(BodyError::TooLarge.into());
        }
        let length = usize::try_from(length).map_err(|_| BodyError::TooLarge)?;
        while self.inbox.len() < length {
            self.fill_body().await?;
        }
        Ok(self.inbox.split_to(length).freeze())
    }

    async fn read_chunks(&mut self) -> Result<Bytes, WireError> {
        let mut body = BytesMut::new();
        loop {
            let line = self.read_line(LONGEST_CHUNK_LINE).await?;
            let size = chunk_size(&line)?;
            if size == 0 {
                break;
            }
            let cap = LONGEST_BODY - body.len() as u64;
            body.extend_from_slice(&self.read_exactly(size, cap).await?);
            if !self.read_line(0).await?.is_empty() {
                return Err(BodyError::Malformed.into());
            }
        }
        let mut trailer = LONGEST_TRAILER;
        loop {
            let line = self.read_line(trailer).await?;
            if line.is_empty() {
                return Ok(body.freeze());
            }
            trailer = trailer.saturating_sub(line.len());
        }
    }

    /// A line of at most `cap` bytes, without its CRLF.
    async fn read_line(&mut self, cap: usize) -> Result<Bytes, WireError> {
        loop {
            if let Some(end) = self.inbox.windows(2).position(|pair| pair == b"\r\n") {
                if end > cap {
                    return Err(BodyError::Malformed.into());
                }
                let line = self.inbox.split_to(end).freeze();
                self.inbox.advance(2);
                return Ok(line);
            }
            if self.inbox.len() > cap + 1 {
                return Err(BodyError::Malformed.into());
            }
            self.fill_body().await?;
        }
    }

    /// Reads some more of a body.
    async fn fill_body(&mut self) -> Result<(), WireError> {
        match tokio::time::timeout(BODY_PAUSE, self.fill()).await {
            Ok(Ok(0)) => Err(BodyError::CutShort.into()),
            Ok(result) => Ok(result.map(drop)?),
            Err(_) => Err(BodyError::TooSlow.into()),
        }
    }
}

/// The size in front of a chunk; extensions behind a semicolon mean nothing.
fn chunk_size(line: &[u8]) -> Result<u64, BodyError> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let plain =
        !digits.is_empty() && digits.len() <= 16 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain).ok_or(BodyError::Malformed)?;
    u64::from_str_radix(text, 16).map_err(|_| BodyError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal_and_nothing_else() {
        assert_eq!(chunk_size(b"1a"), Ok(26));
        assert_eq!(chunk_size(b"5;name=value"), Ok(5));
        for bad in [&b""[..], b"-1", b"0x5", b"g", b"11112222333344445"] {
            assert!(chunk_size(bad).is_err(), "{bad:?}");
        }
    }
}
