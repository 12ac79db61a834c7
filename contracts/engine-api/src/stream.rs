//! The frames in which output and error output share one connection.
//!
//! A frame is an 8-byte header (stream number, three zeros, big-endian length) and that many
//! bytes. With a terminal there is one stream and no framing.

use std::io;

/// Bytes in a frame's header.
pub const HEADER_LENGTH: usize = 8;
/// `Content-Type` of a stream without frames (and of every hijack before API 1.42).
pub const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// `Content-Type` of a stream in frames.
pub const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";

/// Which stream a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stream {
    /// Never sent by a daemon; clients treat it as output.
    Stdin = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// A failure of the daemon's while it was streaming.
    SystemError = 3,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whose bytes follow.
    pub stream: Stream,
    /// How many bytes follow.
    pub length: u32,
}

impl FrameHeader {
    /// The eight bytes.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_LENGTH] {
        let [a, b, c, d] = self.length.to_be_bytes();
        [self.stream as u8, 0, 0, 0, a, b, c, d]
    }

    /// Reads the eight bytes.
    ///
    /// # Errors
    /// The first byte names no stream.
    pub fn decode(bytes: [u8; HEADER_LENGTH]) -> io::Result<Self> {
        let [number, _, _, _, a, b, c, d] = bytes;
        let stream = match number {
            0 => Stream::Stdin,
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            3 => Stream::SystemError,
            other => {
                let text = format!("unrecognized stream: {other}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        };
        Ok(Self { stream, length: u32::from_be_bytes([a, b, c, d]) })
    }
}

/// A whole frame, for short messages; longer ones are written header and payload apart.
#[must_use]
pub fn frame(stream: Stream, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("callers frame at most a log line");
    let mut bytes = Vec::with_capacity(HEADER_LENGTH + payload.len());
    bytes.extend_from_slice(&FrameHeader { stream, length }.encode());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_stream_zeros_and_a_big_endian_length() {
        let header = FrameHeader { stream: Stream::Stderr, length: 0x0102_0304 };
        assert_eq!(header.encode(), [2, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(FrameHeader::decode(header.encode()).unwrap(), header);
    }

    #[test]
    fn an_unknown_stream_number_is_an_error() {
        assert!(FrameHeader::decode([9, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
