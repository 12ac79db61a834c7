//! The ttrpc socket for shims: `containerd.services.events.ttrpc.v1.Events/Forward`.

use crate::events::checked;
use base_errors::Kind;
use contracts_shim_api::events::{FORWARD, SERVICE};
use contracts_shim_api::ttrpc::{self, Frame, FrameError};
use contracts_supervisor_api::services::events::ForwardRequest;
use contracts_supervisor_api::status;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use supervisor_tasks::{Frames, Tasks};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Shims that may be connected at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 16_384;
/// How long the listener rests when a connection cannot be taken.
const REST: Duration = Duration::from_millis(100);

/// Serves the socket for ever.
pub async fn serve(listener: UnixListener, tasks: Tasks) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let tasks = tasks.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(socket, &tasks).await {
                        let error = base_errors::Chain(&error);
                        tracing::debug!(%error, "shim's event connection failed");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: others must close some first.
                tracing::warn!(%error, "cannot accept a shim's event connection");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn converse(socket: UnixStream, tasks: &Tasks) -> Result<(), FrameError> {
    let (requests, mut answers) = socket.into_split();
    let mut frames = Frames::new(requests);
    while let Some(frame) = frames.next().await? {
        if frame.kind != ttrpc::REQUEST {
            continue;
        }
        let response = answer(&frame, tasks);
        let answer = ttrpc::encode(frame.stream, ttrpc::RESPONSE, &response)?;
        if answers.write_all(&answer).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn answer(frame: &Frame, tasks: &Tasks) -> ttrpc::Response {
    let failure = |kind, text: &str| ttrpc::Response::failure(kind, text);
    let Ok(request) = ttrpc::Request::decode(frame.body.as_slice()) else {
        return failure(Kind::InvalidArgument, "damaged request");
    };
    if request.service != SERVICE || request.method != FORWARD {
        let text = format!("{}/{} is not served here", request.service, request.method);
        return failure(Kind::Unimplemented, &text);
    }
    let Ok(forward) = ForwardRequest::decode(request.payload.as_slice()) else {
        return failure(Kind::InvalidArgument, "damaged envelope");
    };
    match checked(forward) {
        Ok(envelope) => {
            tasks.forward(envelope);
            ttrpc::Response::of(&())
        }
        Err(refused) => failure(status::kind(&refused), refused.message()),
    }
}
