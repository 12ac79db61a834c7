//! Attaching: the client's connection goes to the shim, which then talks to it directly.

use super::Container;
use super::start::attach_socket;
use crate::client::{self, Client};
use crate::error::{Error, Result};
use crate::record::Phase;
use crate::requests::{AttachOptions, LogsOptions};
use crate::shared::Shared;
use crate::streams::Attachment;
use contracts_shim_api::attach::{
    AttachEnd, AttachRequest, AttachResponse, EndReason, Framing, MAX_FRAME, decode, encode,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};

/// Attachments that wait for a task, and whether one is there.
#[derive(Default)]
pub(crate) struct Gate {
    open: bool,
    waiting: Vec<Waiting>,
}

/// How many attachments were promised to clients and are not at the gate yet. A client starts the
/// container as soon as it has the promise: the start waits for them.
#[derive(Default)]
pub(crate) struct Promised(watch::Sender<usize>);

/// How long a start waits for them.
const PROMISED_WITHIN: Duration = Duration::from_secs(10);

impl Promised {
    async fn kept(&self) {
        let mut count = self.0.subscribe();
        let _ = tokio::time::timeout(PROMISED_WITHIN, count.wait_for(|count| *count == 0)).await;
    }
}

/// One of them, until it is at the gate or given up.
struct Promise(Arc<Container>);

impl Promise {
    fn new(container: &Arc<Container>) -> Self {
        container.promised.0.send_modify(|count| *count += 1);
        Self(container.clone())
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.promised.0.send_modify(|count| *count -= 1);
    }
}

/// An attachment to a container that does not run yet.
struct Waiting {
    request: AttachRequest,
    stream: OwnedFd,
    ended: oneshot::Sender<EndReason>,
}

/// Docker's default.
const DETACH_KEYS: &str = "ctrl-p,ctrl-q";

impl Shared {
    /// `POST /containers/{id}/attach`.
    pub(crate) async fn container_attach(
        self: &Arc<Self>,
        id: &str,
        options: AttachOptions,
    ) -> Result<Attachment> {
        let container = self.containers.find(id)?;
        let phase = container.view().state.phase;
        if phase == Phase::Paused {
            return Err(Error::Conflict(format!(
                "container {} is paused, unpause the container before attach",
                container.id()
            )));
        }
        if phase == Phase::Restarting {
            return Err(Error::Conflict(format!(
                "container {} is restarting, wait until the container is running",
                container.id()
            )));
        }
        let config = &container.record.config;
        let keys = detach_keys(options.detach_keys.as_deref())?;
        let tty = config.tty;
        let request = AttachRequest {
            id: container.id().to_string(),
            exec_id: String::new(),
            stdin: options.stdin && config.open_stdin,
            stdout: options.stdout,
            stderr: options.stderr,
            framing: framing(tty).into(),
            detach_keys: if tty { keys } else { Vec::new() },
            buffered_stdin: Vec::new(),
        };
        let shared = self.clone();
        let attributes = container.event_attributes();
        self.events.emit("container", "attach", container.id().as_str(), attributes);
        // What is in the log may take its time, and then comes what was written until then.
        let promise = (options.stream && !options.logs).then(|| Promise::new(&container));
        Ok(Attachment::new(tty, move |stream| async move {
            let client = Client::new(stream)?;
            if options.logs {
                replay(&shared, &container, &options, &client).await?;
            }
            if !options.stream {
                return Ok(());
            }
            let reason = attach(&shared, &container, request, client, promise).await?;
            if reason == EndReason::Detached {
                let attributes = container.event_attributes();
                shared.events.emit("container", "detach", container.id().as_str(), attributes);
            }
            Ok(())
        }))
    }
}

/// Raw with a terminal, in frames without.
const fn framing(tty: bool) -> Framing {
    if tty { Framing::Raw } else { Framing::Multiplexed }
}

/// Attaches now, or once there is a task; returns when it is over.
async fn attach(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    mut request: AttachRequest,
    client: Client,
    promise: Option<Promise>,
) -> Result<EndReason> {
    let (stream, buffered, relay) = client.into_parts()?;
    if request.stdin {
        request.buffered_stdin = buffered.to_vec();
    }
    let _relay = relay;
    let socket = attach_socket(shared, container.id());
    let mut gate = container.gate.lock().await;
    if gate.open {
        drop((gate, promise));
        return connect(&socket, &request, stream).await?.ended().await;
    }
    let (ended, end) = oneshot::channel();
    gate.waiting.push(Waiting { request, stream, ended });
    drop((gate, promise));
    // Dropped when the start fails: the client's connection is closed then.
    Ok(end.await.unwrap_or(EndReason::Ended))
}

/// Lets everybody in who waited for the task, before its program starts, so that no byte of its
/// output is missed.
pub(super) async fn open_gate(shared: &Arc<Shared>, container: &Arc<Container>) {
    container.promised.kept().await;
    let mut gate = container.gate.lock().await;
    let waiting = std::mem::take(&mut gate.waiting);
    let socket = attach_socket(shared, container.id());
    for Waiting { request, stream, ended } in waiting {
        match connect(&socket, &request, stream).await {
            Ok(connected) => drop(tokio::spawn(async move {
                let _ = ended.send(connected.ended().await.unwrap_or(EndReason::ClientGone));
            })),
            Err(error) => tracing::error!(container = %container.id(), %error, "attach"),
        }
    }
    gate.open = true;
}

/// The task is gone: later attachments wait for the next one.
pub(super) async fn close_gate(container: &Container) {
    container.gate.lock().await.open = false;
}

/// Ends the attachments that wait for a start that failed.
pub(super) async fn turn_away(container: &Container) {
    container.promised.kept().await;
    let mut gate = container.gate.lock().await;
    gate.open = false;
    gate.waiting.clear();
}

/// An attachment that the shim has taken.
pub(crate) struct Connected {
    socket: UnixStream,
    buffer: Vec<u8>,
}

impl Connected {
    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Result<EndReason> {
        match receive::<AttachEnd>(&mut self.socket, &mut self.buffer).await {
            Ok(end) => Ok(end.reason()),
            // The shim is gone, and with it whatever was attached to.
            Err(_) => Ok(EndReason::Ended),
        }
    }
}

/// Hands a client's stream to the shim.
pub(crate) async fn connect(
    socket: &Path,
    request: &AttachRequest,
    stream: OwnedFd,
) -> Result<Connected> {
    let failed = |cause: String| Error::internal("attach", cause);
    // A bundle's path may be longer than a socket's address: it goes through its descriptor.
    let bundle = std::fs::File::open(socket.parent().unwrap_or(Path::new("/")))
        .map_err(|error| failed(error.to_string()))?;
    let name = socket.file_name().unwrap_or_default().to_string_lossy();
    let short = format!("/proc/self/fd/{}/{name}", bundle.as_raw_fd());
    let mut connection =
        UnixStream::connect(short).await.map_err(|error| failed(error.to_string()))?;
    let frame = encode(request).map_err(|error| failed(error.to_string()))?;
    send_with(&connection, &frame, &stream).await.map_err(|error| failed(error.to_string()))?;
    // The shim has it now; held open here, the client would never see its end.
    drop(stream);
    let mut buffer = Vec::new();
    let response: AttachResponse =
        receive(&mut connection, &mut buffer).await.map_err(|error| failed(error.to_string()))?;
    if response.error.is_empty() {
        Ok(Connected { socket: connection, buffer })
    } else {
        Err(failed(response.error))
    }
}

/// Sends a frame whose first byte carries the descriptor.
async fn send_with(socket: &UnixStream, frame: &[u8], fd: &OwnedFd) -> std::io::Result<()> {
    let mut sent = 0;
    while sent < frame.len() {
        socket.writable().await?;
        let result = socket.try_io(tokio::io::Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds = [fd.as_fd()];
            if sent == 0 {
                control.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let part = [IoSlice::new(&frame[sent..])];
            Ok(sendmsg(socket, &part, &mut control, SendFlags::NOSIGNAL)?)
        });
        match result {
            Ok(count) => sent += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn receive<M: prost::Message + Default>(
    socket: &mut UnixStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<M> {
    loop {
        if let Some(message) = decode(buffer).map_err(std::io::Error::other)? {
            return Ok(message);
        }
        if buffer.len() > MAX_FRAME + 4 {
            return Err(std::io::Error::other("attach answer without end"));
        }
        if socket.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Sends what the log has.
async fn replay(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    options: &AttachOptions,
    client: &Client,
) -> Result<()> {
    let wanted =
        LogsOptions { stdout: options.stdout, stderr: options.stderr, ..LogsOptions::default() };
    let mut logs = shared.container_logs(container.id().as_str(), wanted).await?;
    while let Some(entry) = logs.entries.recv().await {
        let entry = entry?;
        client::write(client, logs.tty, entry.stream, &entry.bytes).await?;
    }
    Ok(())
}

/// Reads `ctrl-p,ctrl-q`, `a,ctrl-x` into the bytes that a terminal sends.
pub(crate) fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or(DETACH_KEYS);
    let invalid = || Error::Invalid(format!("Invalid detach keys ({text}) provided"));
    text.split(',')
        .map(|key| {
            let byte = |key: &str| match key.as_bytes() {
                [byte] => Some(*byte),
                _ => None,
            };
            match key.strip_prefix("ctrl-") {
                None => byte(key).ok_or_else(invalid),
                Some(key) => match byte(key) {
                    Some(letter @ b'a'..=b'z') => Ok(letter - b'a' + 1),
                    Some(b'@') => Ok(0),
                    Some(letter @ (b'[' | b'\\' | b']' | b'^' | b'_')) => Ok(letter - b'[' + 27),
                    _ => Err(invalid()),
                },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{StateRecord, tests::config};
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_start_waits_for_what_was_promised_to_clients() {
        let (container, _) = Container::new(config(), StateRecord::created(), "/x".into(), None);
        let (one, two) = (Promise::new(&container), Promise::new(&container));
        let kept = container.promised.kept();
        tokio::pin!(kept);
        assert!(kept.as_mut().now_or_never().is_none());
        drop(one);
        assert!(kept.as_mut().now_or_never().is_none());
        drop(two);
        kept.await;
    }

    #[test]
    fn detach_keys_become_control_bytes() {
        assert_eq!(detach_keys(None).unwrap(), [16, 17]);
        assert_eq!(detach_keys(Some("a,ctrl-[,ctrl-@")).unwrap(), [b'a', 27, 0]);
        assert_eq!(
            detach_keys(Some("ctrl-1")).unwrap_err().to_string(),
            "Invalid detach keys (ctrl-1) provided"
        );
    }
}
