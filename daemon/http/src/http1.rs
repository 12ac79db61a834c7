//! HTTP/1.1 on one connection.
//!
//! Written out rather than taken from hyper, because dockerd's protocol leaves HTTP in places
//! where hyper does not let go: connections are hijacked by requests without an `Upgrade` header
//! (hyper then answers with `content-length: 0`), clients half-close right behind a 101, and the
//! status line is `101 UPGRADED`. What remains of HTTP here is small: heads by `httparse`, bodies
//! by length or in chunks, answers by length or in chunks.
//!
//! ```text
//! head → body (by the route's intake) → handler → answer ─→ head …
//!                                              └→ hijack: the connection leaves
//! ```

pub(crate) mod body;
mod head;
mod write;

#[cfg(test)]
pub(crate) mod contract;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::reply::{Answer, Hijack, Reply};
use crate::request::Head;
use crate::site::{Intake, Site};
use body::{BodyError, Framing};
use bytes::{Bytes, BytesMut};
use head::HeadError;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// Bytes asked of the connection at a time.
const READ_SIZE: usize = 8 * 1024;
/// What an unread body may still send before the connection is closed in its face.
const LINGER_BYTES: usize = 64 << 20;
/// How long an unread body may take to arrive.
const LINGER_TIME: std::time::Duration = std::time::Duration::from_secs(5);

/// A connection and what was read from it.
pub(super) struct Wire {
    pub(super) connection: Connection,
    pub(super) inbox: BytesMut,
}

/// Why a connection ends before its time.
#[derive(Debug, thiserror::Error)]
enum WireError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A head that is no request's.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A body that is not framed as its head said.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Whether another request may follow.
enum Next {
    Request(Wire),
    Closed,
}

/// Serves requests until the client leaves, hijacks, or the daemon stops.
pub(crate) async fn serve<C: Send + Sync + 'static>(
    site: Arc<Site<C>>,
    connection: Connection,
    inbox: BytesMut,
    shutdown: CancellationToken,
) {
    let mut wire = Wire { connection, inbox };
    loop {
        let head = tokio::select! {
            // Cancel-safe: what was read stays in the inbox, and nobody reads it any more.
            () = shutdown.cancelled() => return,
            head = wire.read_head() => head,
        };
        let outcome = match head {
            Ok(None) => return,
            Ok(Some((head, framing))) => exchange(&site, wire, head, framing).await,
            Err(error) => {
                if let WireError::Head(refusal) = &error {
                    let _ = wire.connection.write_all(&refusal.answer()).await;
                }
                Err(error)
            }
        };
        match outcome {
            Ok(Next::Request(next)) => wire = next,
            Ok(Next::Closed) => return,
            Err(error) => {
                tracing::debug!(%error, "connection ended early");
                return;
            }
        }
    }
}

/// One request and its answer.
async fn exchange<C: Send + Sync + 'static>(
    site: &Site<C>,
    mut wire: Wire,
    head: Head,
    framing: Framing,
) -> Result<Next, WireError> {
    let modern = head.modern;
    let bodiless = head.method == http::Method::HEAD;
    let mut keep = modern && !close_wanted(&head);
    let Some(found) = site.find(&head) else {
        let answer = Answer::failure(&Failure::NoPage);
        let unread = framing != Framing::NONE;
        wire.send(answer, modern, bodiless, keep && !unread).await?;
        return if unread { wire.linger().await } else { Ok(wire.next(keep).await) };
    };
    let take_body = match found.route.intake {
        Intake::Whole => true,
        Intake::Hijack => matches!(framing, Framing::Length(_)),
        Intake::Unread => false,
    };
    let body = if take_body {
        let expects = head.header("expect").eq_ignore_ascii_case("100-continue");
        wire.read_body(framing, expects).await?
    } else {
        keep = keep && framing == Framing::NONE;
        Bytes::new()
    };
    match site.answer(found, head, body).await {
        Reply::Answer(answer) => {
            wire.send(answer, modern, bodiless, keep).await?;
            if take_body || framing == Framing::NONE {
                Ok(wire.next(keep).await)
            } else {
                wire.linger().await
            }
        }
        Reply::Hijack(hijack) => wire.hand_over(site, hijack).await,
    }
}

fn close_wanted(head: &Head) -> bool {
    head.header("connection").split(',').any(|token| token.trim().eq_ignore_ascii_case("close"))
}

impl Wire {
    /// Reads once; zero is the end.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        self.inbox.reserve(READ_SIZE);
        self.connection.read_buf(&mut self.inbox).await
    }

    /// Returns when the client has closed the connection.
    pub(super) async fn gone(&mut self) {
        // Requests sent ahead wait in the inbox; beyond that the client must wait for the answer.
        while self.inbox.len() < READ_SIZE {
            if matches!(self.fill().await, Ok(0) | Err(_)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Goes on, or says farewell: over TLS a connection that only stops looks like one cut off.
    async fn next(mut self, keep: bool) -> Next {
        if keep {
            return Next::Request(self);
        }
        let _ = self.connection.shutdown().await;
        Next::Closed
    }

    /// Reads away a body that nobody wanted, so that the client gets to read the answer.
    async fn linger(mut self) -> Result<Next, WireError> {
        let _ = self.connection.shutdown().await;
        let read_away = async {
            let mut left = LINGER_BYTES;
            while left > 0 {
                self.inbox.clear();
                match self.fill().await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
        };
        let _ = tokio::time::timeout(LINGER_TIME, read_away).await;
        Ok(Next::Closed)
    }

    /// Writes a hijack's head by hand, and gives the connection away.
    async fn hand_over<C: Send + Sync + 'static>(
        mut self,
        site: &Site<C>,
        hijack: Hijack,
    ) -> Result<Next, WireError> {
        let mut head = hijack.head.into_bytes();
        if hijack.common_headers {
            let mut headers = http::HeaderMap::new();
            site.add_headers(&mut headers);
            write::headers(&mut head, &headers);
        }
        head.extend_from_slice(b"\r\n");
        self.connection.write_all(&head).await?;
        self.connection.flush().await?;
        // Detached: what the connection now carries does not end with this task.
        tokio::spawn((hijack.take)(self.connection, self.inbox.freeze()));
        Ok(Next::Closed)
    }
}
