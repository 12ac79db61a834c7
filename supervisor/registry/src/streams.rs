//! Named streams beside a call: `containerd.services.streaming.v1.Streaming`.
//!
//! A client opens a stream under a name of its choice, and then makes a call that mentions the
//! name; who serves that call takes the stream. A stream that nobody takes ends with its client.

use base_errors::Kind;
use contracts_supervisor_api::Any;
use contracts_supervisor_api::any::{pack, unpack};
use contracts_supervisor_api::services::streaming::StreamInit;
use contracts_supervisor_api::services::streaming::streaming_server::Streaming as StreamingRpc;
use contracts_supervisor_api::types::transfer::{Data, WindowUpdate};
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use supervisor_content::request::namespace;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Streams that may wait to be taken.
const MAX_WAITING: usize = 1000;

/// Messages that may wait in one direction of one stream.
const MAX_MESSAGES: usize = 64;

/// The longest name of a stream.
const MAX_NAME: usize = 1024;

/// How many bytes a client may send before it must wait for us.
const WINDOW: i32 = 4 << 20;

/// The streams that wait to be taken.
#[derive(Clone, Default)]
pub struct Streams {
    waiting: Arc<Mutex<HashMap<(String, String), Stream>>>,
}

/// Our end of one stream.
pub struct Stream {
    incoming: mpsc::Receiver<Any>,
    outgoing: mpsc::Sender<Result<Any, Status>>,
    /// Dropped with this end, which ends the client's.
    _held: oneshot::Sender<Infallible>,
}

impl Streams {
    /// Takes the stream of this name.
    #[must_use]
    pub fn take(&self, namespace: &str, name: &str) -> Option<Stream> {
        self.waiting().remove(&(namespace.to_owned(), name.to_owned()))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<(String, String), Stream>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, key: (String, String), stream: Stream) -> Result<(), Status> {
        let mut waiting = self.waiting();
        if waiting.len() >= MAX_WAITING {
            return Err(Status::resource_exhausted("too many streams wait"));
        }
        if waiting.contains_key(&key) {
            return Err(Status::already_exists(format!("stream {:?}: already exists", key.1)));
        }
        waiting.insert(key, stream);
        Ok(())
    }

    /// Takes back the stream that answers through `outgoing`, if nobody took it: its client is
    /// gone. Another stream may wait under the same name by now; that one stays.
    fn withdraw(&self, key: &(String, String), outgoing: &mpsc::Sender<Result<Any, Status>>) {
        let mut waiting = self.waiting();
        if waiting.get(key).is_some_and(|stream| stream.outgoing.same_channel(outgoing)) {
            waiting.remove(key);
        }
    }
}

impl Stream {
    /// Sends a message; false if the client is gone.
    pub async fn send(&self, message: Any) -> bool {
        self.outgoing.send(Ok(message)).await.is_ok()
    }

    /// The client's next message; none once it has ended its side.
    pub async fn receive(&mut self) -> Option<Any> {
        self.incoming.recv().await
    }

    /// The bytes that the client streams, in pieces, as a receiver that a blocking thread may
    /// wait on. Flow control is containerd's: the client sends what our window allows.
    #[must_use]
    pub fn into_bytes(mut self) -> mpsc::Receiver<std::io::Result<bytes::Bytes>> {
        let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
        tokio::spawn(async move {
            let mut window = WINDOW;
            if !self.send(pack(&WindowUpdate { update: WINDOW })).await {
                return;
            }
            while let Some(message) = self.receive().await {
                let piece =
                    unpack::<Data>(&message).map(|data| data.data).map_err(std::io::Error::other);
                let (length, failed) = match &piece {
                    Ok(data) => (i32::try_from(data.len()).unwrap_or(i32::MAX), false),
                    Err(_) => (0, true),
                };
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
                window = window.saturating_sub(length);
                if window < WINDOW / 2 {
                    let update = WINDOW - window;
                    if !self.send(pack(&WindowUpdate { update })).await {
                        return;
                    }
                    window = WINDOW;
                }
            }
        });
        receiver
    }
}

/// The gRPC service.
pub struct StreamingService {
    streams: Streams,
}

impl StreamingService {
    /// A service that offers what clients open to `streams`.
    #[must_use]
    pub fn new(streams: Streams) -> Self {
        Self { streams }
    }
}

#[async_trait]
impl StreamingRpc for StreamingService {
    type StreamStream = BoxStream<'static, Result<Any, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<Any>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let namespace = namespace(request.metadata())?;
        let mut messages = request.into_inner();
        let streams = self.streams.clone();
        let (outgoing, answers) = mpsc::channel(MAX_MESSAGES);
        // The client sends the name only once it has our headers: answer first, listen then.
        tokio::spawn(async move {
            if let Err(status) = serve(&streams, namespace, &mut messages, &outgoing).await {
                let _ = outgoing.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers).boxed()))
    }
}

async fn serve(
    streams: &Streams,
    namespace: String,
    messages: &mut Streaming<Any>,
    outgoing: &mpsc::Sender<Result<Any, Status>>,
) -> Result<(), Status> {
    let first =
        messages.message().await?.ok_or_else(|| Status::invalid_argument("stream without name"))?;
    let name = unpack::<StreamInit>(&first)
        .map_err(|error| Status::new(Kind::InvalidArgument.grpc_code().into(), error.to_string()))?
        .id;
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Status::invalid_argument("stream without a usable name"));
    }
    let (sender, incoming) = mpsc::channel(MAX_MESSAGES);
    let (held, mut released) = oneshot::channel();
    let key = (namespace, name);
    let stream = Stream { incoming, outgoing: outgoing.clone(), _held: held };
    streams.offer(key.clone(), stream)?;
    let ready = Any { type_url: "google.protobuf.Empty".to_owned(), value: Vec::new() };
    if outgoing.send(Ok(ready)).await.is_ok() {
        tokio::select! {
            () = pass_on(messages, sender) => {}
            () = outgoing.closed() => {}
            _ = &mut released => {}
        }
    }
    streams.withdraw(&key, outgoing);
    Ok(())
}

/// Passes on what the client sends, and its end; returns only when the connection is lost. A
/// client that has sent everything, perhaps before anybody took the stream, still listens.
async fn pass_on(messages: &mut Streaming<Any>, sender: mpsc::Sender<Any>) {
    loop {
        match messages.message().await {
            Ok(Some(message)) => {
                if sender.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    drop(sender);
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_taken_stream_leaves_its_namesake_alone() {
        let streams = Streams::default();
        let key = ("default".to_owned(), "archive".to_owned());
        let offer = || {
            let (outgoing, _) = mpsc::channel(1);
            let (_, incoming) = mpsc::channel(1);
            let (held, _) = oneshot::channel();
            let stream = Stream { incoming, outgoing: outgoing.clone(), _held: held };
            streams.offer(key.clone(), stream).map(|()| outgoing)
        };
        let first = offer().unwrap();
        assert!(streams.take(&key.0, &key.1).is_some());
        let second = offer().unwrap();
        streams.withdraw(&key, &first);
        assert_eq!(offer().unwrap_err().code(), tonic::Code::AlreadyExists);
        streams.withdraw(&key, &second);
        assert!(streams.take(&key.0, &key.1).is_none());
    }
}
