//! Hijacked connections: after the answer's head, both directions carry raw bytes.

use crate::transport::Stream;
use std::io::{self, Cursor, Read};

/// A connection taken over from HTTP (`attach`, `exec`), with the bytes that came with the head.
#[derive(Debug)]
pub struct Hijacked {
    stream: Stream,
    early: Vec<u8>,
    multiplexed: Option<bool>,
}

impl Hijacked {
    pub(crate) fn new(stream: Stream, early: Vec<u8>, content_type: Option<&str>) -> Self {
        // Before API 1.42 the type is `raw-stream` for both kinds, so only this one tells.
        let multiplexed = content_type
            .is_some_and(|kind| kind == "application/vnd.docker.multiplexed-stream")
            .then_some(true);
        Self { stream, early, multiplexed }
    }

    /// Whether the daemon said that the stream has frames; `None` when it did not say.
    #[must_use]
    pub fn multiplexed(&self) -> Option<bool> {
        self.multiplexed
    }

    /// The two directions: what the container says, and what it is told.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn split(self) -> io::Result<(impl Read + Send + 'static, Stream)> {
        let writing = self.stream.try_clone()?;
        Ok((Cursor::new(self.early).chain(self.stream), writing))
    }
}
