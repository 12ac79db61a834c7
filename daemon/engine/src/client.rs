//! The client's end of a hijacked connection, seen from here: a descriptor for the shim, and now
//! and then a few bytes of our own.

use crate::error::{Error, Result};
use crate::requests::{ClientStream, Transport};
use bytes::Bytes;
use contracts_engine_api::stream::{FrameHeader, Stream};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// A client.
pub(crate) struct Client {
    stream: OwnedFd,
    buffered: Bytes,
    /// Copies between the real connection and ours, where that is no plain socket.
    relay: Option<JoinHandle<()>>,
}

impl Client {
    /// Takes the connection; what is no plain socket gets a socket pair and a copying task.
    pub(crate) fn new(client: ClientStream) -> Result<Self> {
        let failed = |error: std::io::Error| Error::internal("take client connection", error);
        let (stream, relay) = match client.transport {
            Transport::Socket(stream) => (stream, None),
            Transport::Relay(mut duplex) => {
                let (ours, theirs) = UnixStream::pair().map_err(failed)?;
                let theirs = OwnedFd::from(theirs.into_std().map_err(failed)?);
                let mut ours = ours;
                let relay = tokio::spawn(async move {
                    // A broken client ends the copy; the shim sees the pair close.
                    let _ = tokio::io::copy_bidirectional(&mut duplex, &mut ours).await;
                });
                (theirs, Some(relay))
            }
        };
        Ok(Self { stream, buffered: client.buffered, relay })
    }

    /// Another handle on the same connection, to tell a failure after the first went elsewhere.
    pub(crate) fn duplicate(&self) -> Result<Self> {
        let stream = self.stream.try_clone();
        let stream = stream.map_err(|e| Error::internal("duplicate client connection", e))?;
        Ok(Self { stream, buffered: Bytes::new(), relay: None })
    }

    /// The descriptor for the shim, what was read already, and the copying task.
    pub(crate) fn into_parts(self) -> Result<(OwnedFd, Bytes, Option<JoinHandle<()>>)> {
        Ok((self.stream, self.buffered, self.relay))
    }
}

/// Writes to the client: raw with a terminal, as a frame without.
pub(crate) async fn write(client: &Client, tty: bool, stream: Stream, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| Error::internal("write to client", error);
    let mut message = Vec::with_capacity(bytes.len() + 8);
    if !tty {
        let length =
            u32::try_from(bytes.len()).map_err(|e| Error::internal("write to client", e))?;
        message.extend_from_slice(&FrameHeader { stream, length }.encode());
    }
    message.extend_from_slice(bytes);
    let duplicate = client.stream.try_clone().map_err(failed)?;
    rustix::io::ioctl_fionbio(&duplicate, true).map_err(|e| failed(e.into()))?;
    #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd stays open while held")]
    let socket = AsyncFd::new(duplicate).map_err(failed)?;
    let mut rest = &message[..];
    while !rest.is_empty() {
        let mut ready = socket.writable().await.map_err(failed)?;
        match rustix::io::write(socket.get_ref(), rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
    Ok(())
}
