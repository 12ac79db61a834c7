//! A client's connection, whatever carries it.

use bytes::Bytes;
use daemon_engine::{ClientStream, Transport};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// One accepted connection.
pub(crate) enum Connection {
    /// On the Unix socket.
    Unix(UnixStream),
    /// On a TCP port without encryption.
    Tcp(TcpStream),
    /// On a TCP port with TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// How long a client that comes over a network may be silent before its first request.
const FIRST_WORD_TIME: Duration = Duration::from_secs(30);
/// The same between requests; Go's clients keep a connection for 90 seconds.
const IDLE_TIME: Duration = Duration::from_secs(300);

impl Connection {
    /// How long the client may take to its first word; on this machine, as long as it likes.
    pub(crate) fn first_word_time(&self) -> Option<Duration> {
        self.is_remote().then_some(FIRST_WORD_TIME)
    }

    /// How long the client may take to its next word.
    pub(crate) fn idle_time(&self) -> Option<Duration> {
        self.is_remote().then_some(IDLE_TIME)
    }

    fn is_remote(&self) -> bool {
        !matches!(self, Self::Unix(_))
    }

    /// Gives the connection away: the descriptor itself where it is a plain socket.
    pub(crate) fn into_client_stream(self, buffered: Bytes) -> io::Result<ClientStream> {
        let transport = match self {
            Self::Unix(stream) => Transport::Socket(stream.into_std()?.into()),
            Self::Tcp(stream) => Transport::Socket(stream.into_std()?.into()),
            Self::Tls(stream) => Transport::Relay(Box::new(stream)),
        };
        Ok(ClientStream { transport, buffered })
    }
}

/// Calls the same method on whatever is inside.
macro_rules! inner {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Connection::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Connection::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Connection::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_shutdown(context))
    }
}
