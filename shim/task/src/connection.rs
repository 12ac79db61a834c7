//! One ttrpc connection of a caller.

use crate::reactor::Watched;
use base_errors::Classify;
use contracts_shim_api::ttrpc::{self, Decoder, Frame, Response};
use kernel_sys::Errno;
use rustix::event::epoll::EventFlags;
use rustix::net::{RecvFlags, SendFlags};

/// Answers kept for a caller that does not read them; then it is dropped.
const MAX_OUTGOING: usize = 16 << 20;

/// Which call an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The connection's number.
    pub(crate) connection: u32,
    /// The stream in it.
    pub(crate) stream: u32,
}

/// A caller's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Watched,
    decoder: Decoder,
    outgoing: Vec<u8>,
    sent: usize,
}

/// The connection is broken, or the caller speaks no ttrpc.
#[derive(Debug)]
pub(crate) struct Broken;

impl Connection {
    pub(crate) fn new(socket: Watched) -> Self {
        Self { socket, decoder: Decoder::default(), outgoing: Vec::new(), sent: 0 }
    }

    /// Reads what has come, and gives the whole frames in it.
    pub(crate) fn receive(&mut self) -> Result<Vec<Frame>, Broken> {
        let mut frames = Vec::new();
        let mut buffer = [0_u8; 4 << 10];
        loop {
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                // Requests that came before the end still count; the end is reported again.
                Ok((0, _)) | Err(Errno::CONNRESET) if !frames.is_empty() => return Ok(frames),
                Ok((0, _)) => return Err(Broken),
                Ok((count, _)) => self.decoder.push(&buffer[..count]),
                Err(Errno::AGAIN) => return Ok(frames),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Broken),
            }
            while let Some(frame) = self.decoder.next_frame().map_err(|_| Broken)? {
                frames.push(frame);
            }
        }
    }

    /// Answers one call; what is too large for an answer is answered by an error that says so.
    pub(crate) fn answer(&mut self, stream: u32, response: &Response) -> Result<(), Broken> {
        let encode = |response: &Response| ttrpc::encode(stream, ttrpc::RESPONSE, response);
        let frame = encode(response)
            .or_else(|error| encode(&Response::failure(error.kind(), error.to_string())))
            .map_err(|_| Broken)?;
        self.outgoing.extend_from_slice(&frame);
        if self.outgoing.len() > MAX_OUTGOING {
            return Err(Broken);
        }
        self.send()
    }

    /// Sends what the caller takes.
    pub(crate) fn send(&mut self) -> Result<(), Broken> {
        while self.sent < self.outgoing.len() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, &self.outgoing[self.sent..], flags) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.socket.want(EventFlags::IN | EventFlags::OUT);
                    return Ok(());
                }
                Err(_) => return Err(Broken),
            }
        }
        self.sent = 0;
        self.outgoing = Vec::new();
        self.socket.want(EventFlags::IN);
        Ok(())
    }
}
