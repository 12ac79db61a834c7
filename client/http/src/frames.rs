//! Docker's multiplexed stdio: frames of an 8-byte header and a payload (moby `api/pkg/stdcopy`).

use contracts_engine_api::stream::{FrameHeader, HEADER_LENGTH, Stream};
use std::io::{self, Read};

/// A damaged or broken stream of frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection broke.
    #[error("the output stream broke")]
    Read(#[from] io::Error),
    /// The output could not be written.
    #[error("cannot write output")]
    Write(#[source] io::Error),
    /// The daemon reports an error in the stream.
    #[error("error from daemon in stream: {0}")]
    Daemon(String),
}

/// Takes frames apart. Payloads are passed on as they come, never gathered: a frame may say 4 GiB.
#[derive(Debug)]
pub struct Frames<R> {
    from: R,
    current: Option<(Stream, u32)>,
}

/// The longest error text that is read out of a stream.
const MAX_DAEMON_ERROR: u32 = 64 * 1024;

impl<R: Read> Frames<R> {
    /// Frames out of `from`.
    pub fn new(from: R) -> Self {
        Self { from, current: None }
    }

    /// Reads some payload into `buffer`; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the stream breaks, is no stream of frames, or carries the daemon's own error.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<(Stream, usize)>, FrameError> {
        loop {
            match self.current {
                Some((source, left)) if left > 0 => {
                    let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let count = self.from.read(&mut buffer[..wanted])?;
                    if count == 0 {
                        return Ok(None);
                    }
                    let read = u32::try_from(count).unwrap_or(left);
                    self.current = Some((source, left.saturating_sub(read)));
                    return Ok(Some((source, count)));
                }
                _ => {
                    let Some(header) = self.header()? else { return Ok(None) };
                    if header.stream == Stream::SystemError {
                        return Err(self.daemon_error(header.length));
                    }
                    self.current = Some((header.stream, header.length));
                }
            }
        }
    }

    /// The next header; `None` at a clean end, and at a cut header (the peer died).
    fn header(&mut self) -> Result<Option<FrameHeader>, FrameError> {
        let mut bytes = [0; HEADER_LENGTH];
        match self.from.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(FrameHeader::decode(bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn daemon_error(&mut self, length: u32) -> FrameError {
        let mut text = Vec::new();
        let limit = u64::from(length.min(MAX_DAEMON_ERROR));
        match (&mut self.from).take(limit).read_to_end(&mut text) {
            Ok(_) => FrameError::Daemon(String::from_utf8_lossy(&text).into_owned()),
            Err(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<(Stream, Vec<u8>)> {
        let mut frames = Frames::new(bytes);
        let mut buffer = [0; 3];
        let mut out = Vec::new();
        while let Some((source, count)) = frames.read(&mut buffer).unwrap() {
            out.push((source, buffer[..count].to_vec()));
        }
        out
    }

    #[test]
    fn payloads_longer_than_the_buffer_arrive_in_pieces() {
        let bytes = b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\x00\x02\0\0\0\0\0\0\x01!";
        assert_eq!(
            all(bytes),
            [
                (Stream::Stdout, b"hel".to_vec()),
                (Stream::Stdout, b"lo".to_vec()),
                (Stream::Stderr, b"!".to_vec())
            ]
        );
    }

    #[test]
    fn a_cut_stream_ends_and_a_foreign_one_is_refused() {
        assert_eq!(all(b"\x01\0\0\0\0\0\0\x09ab"), [(Stream::Stdout, b"ab".to_vec())]);
        assert_eq!(all(b"\x01\0\0"), []);
        let mut frames = Frames::new(&b"HTTP/1.1 400"[..]);
        assert!(matches!(frames.read(&mut [0; 8]), Err(FrameError::Read(_))));
    }

    #[test]
    fn the_daemons_own_error_is_told() {
        let mut frames = Frames::new(&b"\x03\0\0\0\0\0\0\x04oops"[..]);
        let error = frames.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.to_string(), "error from daemon in stream: oops");
    }
}
