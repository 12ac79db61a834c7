//! ttrpc frames as they come from a socket.

use contracts_shim_api::ttrpc::{Decoder, Frame, FrameError};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read at a time. Nearly every message is shorter, and there is one reader for each shim.
const READ: usize = 1 << 10;

/// Reads frames.
#[derive(Debug)]
pub struct Frames<R> {
    socket: R,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// The frames that come from this socket.
    pub fn new(socket: R) -> Self {
        Self { socket, decoder: Decoder::default(), buffer: vec![0; READ] }
    }

    /// The next frame; `None` when the peer has hung up.
    ///
    /// # Errors
    /// What came is no ttrpc.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            match self.socket.read(&mut self.buffer).await {
                Ok(count @ 1..) => self.decoder.push(&self.buffer[..count]),
                _ => return Ok(None),
            }
        }
    }
}
