//! One ttrpc connection to a shim: many calls at once, one reader, one writer.
//!
//! Two tasks own the two halves of the socket. A call hands its frame to the writer and waits for
//! its stream's answer, so a call that is given up never leaves half a frame behind. When either
//! half fails, all calls under way fail, and [`Connection::closed`] completes.

use crate::{Error, Frames};
use contracts_shim_api::ttrpc::{self, KeyValue, Request, Response};
use prost::Message;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

/// Frames that may wait for the writer.
const WRITE_QUEUE: usize = 64;

/// Calls that wait for an answer; `None` once the connection has failed.
type Waiting = Arc<Mutex<Option<HashMap<u32, oneshot::Sender<Response>>>>>;

/// An open connection. Closes when dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    frames: mpsc::Sender<Vec<u8>>,
    waiting: Waiting,
    next: AtomicU32,
    closed: watch::Receiver<bool>,
}

impl Connection {
    /// Connects to a shim's socket.
    pub(crate) async fn open(socket: &Path) -> std::io::Result<Self> {
        let (read, write) = UnixStream::connect(socket).await?.into_split();
        let (frames, queue) = mpsc::channel(WRITE_QUEUE);
        let (closing, closed) = watch::channel(false);
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(write_frames(write, queue));
        tokio::spawn({
            let waiting = Arc::clone(&waiting);
            async move {
                if let Err(error) = read_frames(read, &waiting).await {
                    tracing::debug!(error = %base_errors::Chain(&error), "shim connection failed");
                }
                // Dropping the senders fails their calls.
                *waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let _ = closing.send(true);
            }
        });
        Ok(Self { frames, waiting, next: AtomicU32::new(1), closed })
    }

    /// Calls a method and waits for its answer.
    pub(crate) async fn call<A: Message + Default>(
        &self,
        service: &str,
        method: &str,
        payload: Vec<u8>,
        metadata: Vec<KeyValue>,
    ) -> Result<A, Error> {
        // Clients have the odd stream ids; 2^31 calls are more than a shim lives for.
        let stream = self.next.fetch_add(2, Ordering::Relaxed);
        let request = Request {
            service: service.to_owned(),
            method: method.to_owned(),
            payload,
            timeout_nano: 0,
            metadata,
        };
        let frame = ttrpc::encode(stream, ttrpc::REQUEST, &request)?;
        let mut answer = self.expect_answer(stream).ok_or(Error::Closed)?;
        self.frames.send(frame).await.map_err(|_| Error::Closed)?;
        let response = (&mut answer.receiver).await.map_err(|_| Error::Closed)?;
        match response.status {
            Some(status) if status.code != 0 => Err(Error::Shim {
                kind: base_errors::Kind::from_grpc_code(status.code),
                message: status.message,
            }),
            _ => Ok(A::decode(response.payload.as_slice()).map_err(ttrpc::FrameError::from)?),
        }
    }

    /// Completes once the shim has closed the connection.
    pub(crate) async fn closed(&self) {
        // An error says that the reader is gone, which is the same.
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }

    fn expect_answer(&self, stream: u32) -> Option<Answer> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_mut()?.insert(stream, sender);
        Some(Answer { stream, waiting: Arc::clone(&self.waiting), receiver })
    }
}

/// An awaited answer; forgotten when its call is given up.
struct Answer {
    stream: u32,
    waiting: Waiting,
    receiver: oneshot::Receiver<Response>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.as_mut() {
            waiting.remove(&self.stream);
        }
    }
}

/// Ends when the connection is dropped, or the shim has gone; the reader sees that too.
async fn write_frames(mut socket: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if socket.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn read_frames(socket: OwnedReadHalf, waiting: &Waiting) -> Result<(), ttrpc::FrameError> {
    let mut frames = Frames::new(socket);
    while let Some(frame) = frames.next().await? {
        if frame.kind != ttrpc::RESPONSE {
            continue;
        }
        let response = Response::decode(frame.body.as_slice())?;
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = waiting.as_mut().and_then(|calls| calls.remove(&frame.stream)) {
            let _ = caller.send(response);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_shim_api::task::{StartRequest, StartResponse};
    use tokio::net::UnixListener;

    /// Takes two calls before it answers either, the second first; then hangs up on the third.
    async fn fake_shim(listener: UnixListener) {
        let (socket, mut answers) = listener.accept().await.unwrap().0.into_split();
        let mut frames = Frames::new(socket);
        let mut streams = Vec::new();
        while streams.len() < 3 {
            streams.push(frames.next().await.unwrap().unwrap().stream);
            if streams.len() == 2 {
                for stream in [streams[1], streams[0]] {
                    let response = Response::of(&StartResponse { pid: stream });
                    let frame = ttrpc::encode(stream, ttrpc::RESPONSE, &response).unwrap();
                    answers.write_all(&frame).await.unwrap();
                }
            }
        }
    }

    #[tokio::test]
    async fn calls_are_answered_in_any_order_and_fail_when_the_shim_hangs_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let shim = tokio::spawn(fake_shim(UnixListener::bind(&path).unwrap()));
        let connection = Connection::open(&path).await.unwrap();
        let payload = StartRequest { id: "a".into(), exec_id: String::new() }.encode_to_vec();
        let call = || connection.call::<StartResponse>("s", "Start", payload.clone(), Vec::new());
        let (first, second) = tokio::join!(call(), call());
        assert_eq!((first.unwrap().pid, second.unwrap().pid), (1, 3));
        assert!(matches!(call().await, Err(Error::Closed)));
        connection.closed().await;
        assert!(matches!(call().await, Err(Error::Closed)));
        shim.await.unwrap();
    }
}
