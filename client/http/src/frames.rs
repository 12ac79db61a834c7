//! Docker's multiplexed stdio: frames of an 8-byte header and a payload (moby `api/pkg/stdcopy`).

use contracts_engine_api::stream::{FrameHeader, HEADER_LENGTH, Stream};
use std::io::{self, Read};
use std::ops::Range;

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
    buffer: Vec<u8>,
    /// What of the buffer is still to be passed on.
    unread: Range<usize>,
    current: Option<(Stream, usize)>,
}

/// The buffer's first size: most containers say little, and each page that is touched costs.
const SMALL: usize = 4 * 1024;
/// Its size once a read has filled it.
const LARGE: usize = 64 * 1024;
/// The longest error text that is read out of a stream.
const MAX_DAEMON_ERROR: usize = 64 * 1024;

impl<R: Read> Frames<R> {
    /// Frames out of `from`.
    pub fn new(from: R) -> Self {
        Self { from, buffer: vec![0; SMALL], unread: 0..0, current: None }
    }

    /// The next bytes of payload, with the stream that they belong to; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the stream breaks, is no stream of frames, or carries the daemon's own error.
    pub fn next_bytes(&mut self) -> Result<Option<(Stream, &[u8])>, FrameError> {
        let (stream, left) = loop {
            match self.current {
                Some((stream, left)) if left > 0 => break (stream, left),
                _ => {
                    let Some(header) = self.header()? else { return Ok(None) };
                    let length = usize::try_from(header.length).unwrap_or(usize::MAX);
                    if header.stream == Stream::SystemError {
                        return Err(self.daemon_error(length));
                    }
                    self.current = Some((header.stream, length));
                }
            }
        };
        if self.unread.is_empty() && !self.fill()? {
            return Ok(None);
        }
        let bytes = self.take(left);
        self.current = Some((stream, left - bytes.len()));
        Ok(Some((stream, &self.buffer[bytes])))
    }

    /// Whether the next bytes have to be waited for: what came so far has been given.
    #[must_use]
    pub fn waits(&self) -> bool {
        match self.current {
            Some((_, left)) if left > 0 => self.unread.is_empty(),
            _ => self.unread.len() < HEADER_LENGTH,
        }
    }

    /// Reads more behind what is unread; `false` at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        loop {
            match self.from.read(&mut self.buffer[self.unread.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.unread.end += count;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.unread.end == self.buffer.len() {
            self.buffer.resize(LARGE, 0);
        }
        Ok(true)
    }

    fn take(&mut self, most: usize) -> Range<usize> {
        let count = most.min(self.unread.len());
        let start = self.unread.start;
        self.unread.start += count;
        start..start + count
    }

    /// The next header; `None` at a clean end, and at a cut header (the peer died).
    fn header(&mut self) -> Result<Option<FrameHeader>, FrameError> {
        while self.unread.len() < HEADER_LENGTH {
            if !self.fill()? {
                return Ok(None);
            }
        }
        let bytes = self.take(HEADER_LENGTH);
        let header = self.buffer[bytes].try_into().expect("as many bytes as a header has");
        Ok(Some(FrameHeader::decode(header)?))
    }

    fn daemon_error(&mut self, length: usize) -> FrameError {
        let mut text = Vec::new();
        let mut left = length.min(MAX_DAEMON_ERROR);
        while left > 0 {
            if self.unread.is_empty() {
                match self.fill() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return error.into(),
                }
            }
            let bytes = self.take(left);
            left -= bytes.len();
            text.extend_from_slice(&self.buffer[bytes]);
        }
        FrameError::Daemon(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'b>(&'b [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = into.len().min(3);
            self.0.read(&mut into[..most])
        }
    }

    fn all(from: impl Read) -> Vec<(Stream, Vec<u8>)> {
        let mut frames = Frames::new(from);
        let mut out: Vec<(Stream, Vec<u8>)> = Vec::new();
        while let Some((stream, bytes)) = frames.next_bytes().unwrap() {
            match out.last_mut() {
                Some((last, text)) if *last == stream => text.extend_from_slice(bytes),
                _ => out.push((stream, bytes.to_vec())),
            }
        }
        out
    }

    #[test]
    fn payloads_arrive_whole_however_they_are_cut() {
        let bytes = b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\x00\x02\0\0\0\0\0\0\x01!";
        let wanted = [(Stream::Stdout, b"hello".to_vec()), (Stream::Stderr, b"!".to_vec())];
        assert_eq!(all(&bytes[..]), wanted);
        assert_eq!(all(Slow(bytes)), wanted);
    }

    #[test]
    fn what_has_come_is_given_before_anything_is_waited_for() {
        let bytes = b"\x01\0\0\0\0\0\0\x01a\x01\0\0\0\0\0\0\x02bc\x01\0\0";
        let mut frames = Frames::new(&bytes[..]);
        assert!(frames.waits());
        assert_eq!(frames.next_bytes().unwrap(), Some((Stream::Stdout, &b"a"[..])));
        assert!(!frames.waits());
        assert_eq!(frames.next_bytes().unwrap(), Some((Stream::Stdout, &b"bc"[..])));
        assert!(frames.waits(), "of the third header only a part has come");
    }

    #[test]
    fn long_payloads_pass_through_a_growing_buffer() {
        let payload: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut bytes = Vec::new();
        for part in payload.chunks(70_001) {
            let length = u32::try_from(part.len()).unwrap();
            bytes.extend(FrameHeader { stream: Stream::Stdout, length }.encode());
            bytes.extend(part);
        }
        assert_eq!(all(&bytes[..]), [(Stream::Stdout, payload)]);
    }

    #[test]
    fn a_cut_stream_ends_and_a_foreign_one_is_refused() {
        assert_eq!(all(&b"\x01\0\0\0\0\0\0\x09ab"[..]), [(Stream::Stdout, b"ab".to_vec())]);
        assert_eq!(all(&b"\x01\0\0"[..]), []);
        let mut frames = Frames::new(&b"HTTP/1.1 400"[..]);
        assert!(matches!(frames.next_bytes(), Err(FrameError::Read(_))));
    }

    #[test]
    fn the_daemons_own_error_is_told() {
        let mut frames = Frames::new(&b"\x03\0\0\0\0\0\0\x04oops"[..]);
        let error = frames.next_bytes().unwrap_err();
        assert_eq!(error.to_string(), "error from daemon in stream: oops");
    }
}
