//! What the engine answers where the answer is not one value.

use crate::error::Result;
use crate::requests::ClientStream;
use bytes::Bytes;
use contracts_engine_api::container::WaitResponse;
use contracts_engine_api::events::Message;
use contracts_engine_api::stream::Stream;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// A container's log, being read.
pub struct Logs {
    /// The container has a terminal: entries go out without frames.
    pub tty: bool,
    /// The entries; ends with the log, or when following with the container.
    pub entries: mpsc::Receiver<Result<LogEntry>>,
}

/// One entry, rendered (timestamp and details in front, where wanted).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Standard output or error.
    pub stream: Stream,
    /// The bytes.
    pub bytes: Bytes,
}

/// An attachment to a container or an exec, before the client's connection is handed over.
pub struct Attachment {
    tty: bool,
    run: Box<dyn FnOnce(ClientStream) -> BoxFuture<'static, Result<()>> + Send>,
}

impl Attachment {
    pub(crate) fn new<F>(tty: bool, run: impl FnOnce(ClientStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self { tty, run: Box::new(move |client| run(client).boxed()) }
    }

    /// Whether the stream is raw (a terminal's) rather than in frames.
    #[must_use]
    pub const fn tty(&self) -> bool {
        self.tty
    }

    /// Connects the client, and returns when the attachment has ended; the connection is closed
    /// then. Dropping the future ends nothing: where the shim has the connection, it goes on.
    ///
    /// # Errors
    /// What could not be done; the text has been sent to the client already where that is what
    /// dockerd does (an exec that cannot start).
    pub async fn run(self, client: ClientStream) -> Result<()> {
        (self.run)(client).await
    }
}

/// A registered wait.
pub struct ContainerWait(BoxFuture<'static, WaitResponse>);

impl ContainerWait {
    pub(crate) fn new(future: impl Future<Output = WaitResponse> + Send + 'static) -> Self {
        Self(future.boxed())
    }

    /// Waits for the answer.
    pub async fn status(self) -> WaitResponse {
        self.0.await
    }
}

/// Events, old and new.
pub struct EventStream(pub(crate) mpsc::Receiver<Message>);

impl EventStream {
    /// The next event; `None` at the end that `until` named. Cancel-safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.recv().await
    }
}
