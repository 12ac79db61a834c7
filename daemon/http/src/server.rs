//! Accepting connections, and what runs for each.

#[cfg(test)]
mod contract;

use crate::connection::Connection;
use crate::listen::{Accepted, Listener};
use crate::routes::{self, Context};
use crate::site::Site;
use crate::{http1, http2};
use bytes::BytesMut;
use contracts_engine_api::ApiVersion;
use daemon_engine::Engine;
use http::HeaderValue;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections to Unix sockets at a time; further ones wait to be accepted.
pub(crate) const MAX_CONNECTIONS: usize = 4096;
/// The same over TCP. They have places of their own: a network full of silent clients must not
/// lock out who sits at the machine. A hijacked connection gives its place back, it is the shim's.
pub(crate) const MAX_REMOTE_CONNECTIONS: usize = 1024;
/// How long to wait after the system has refused to accept (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers that are under way may take once the daemon stops.
const GRACE: Duration = Duration::from_secs(2);
/// How long a TLS client may take to shake hands.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// The oldest API version that is answered (`--min-api-version`, `DOCKER_MIN_API_VERSION`).
    pub oldest_version: ApiVersion,
    /// What the `Docker-Experimental` header says.
    pub experimental: bool,
    /// Where connections are counted.
    pub activity: Activity,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            oldest_version: ApiVersion::oldest(),
            experimental: false,
            activity: Activity::default(),
        }
    }
}

/// How long nobody has been connected: by this a daemon that a client started knows when to go.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Mutex<Connected>>);

#[derive(Debug)]
struct Connected {
    now: usize,
    last: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Connected { now: 0, last: Instant::now() })))
    }
}

impl Activity {
    /// Time since the last connection ended; `None` while there is one.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        let connected = self.0.lock().expect("nothing panics while it holds this lock");
        (connected.now == 0).then(|| connected.last.elapsed())
    }

    fn enter(&self) -> Presence {
        self.0.lock().expect("nothing panics while it holds this lock").now += 1;
        Presence(self.clone())
    }
}

/// One connection, counted.
struct Presence(Activity);

impl Drop for Presence {
    fn drop(&mut self) {
        if let Ok(mut connected) = self.0.0.lock() {
            connected.now -= 1;
            connected.last = Instant::now();
        }
    }
}

/// Serves the Engine API until `shutdown`, then lets answers under way finish for a moment.
pub async fn serve(
    engine: Engine,
    listeners: Vec<Listener>,
    options: Options,
    shutdown: CancellationToken,
) {
    let server = format!("Docker/{} (linux)", engine.version().version);
    let site = Arc::new(Site {
        routes: routes::all(),
        oldest: options.oldest_version.clone(),
        server: HeaderValue::from_str(&server)
            .unwrap_or_else(|_| HeaderValue::from_static("Docker (linux)")),
        experimental: options.experimental,
        context: Arc::new(Context { engine, oldest: options.oldest_version }),
    });
    let connections = TaskTracker::new();
    let local = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let remote = Arc::new(Semaphore::new(MAX_REMOTE_CONNECTIONS));
    let accepting = listeners.into_iter().map(|listener| {
        let places = Arc::clone(if listener.is_remote() { &remote } else { &local });
        let (activity, connections) = (options.activity.clone(), connections.clone());
        let door = Door { listener, places, activity, connections };
        tokio::spawn(door.receive(Arc::clone(&site), shutdown.clone()))
    });
    for task in accepting.collect::<Vec<_>>() {
        if let Err(error) = task.await {
            tracing::error!(%error, "a listener's task died");
        }
    }
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        tracing::debug!(left = connections.len(), "connections cut off");
    }
}

/// A listener, and how many may come in by it.
struct Door {
    listener: Listener,
    places: Arc<Semaphore>,
    activity: Activity,
    connections: TaskTracker,
}

impl Door {
    /// Lets clients in until the daemon stops.
    async fn receive<C: Send + Sync + 'static>(
        self,
        site: Arc<Site<C>>,
        shutdown: CancellationToken,
    ) {
        tracing::info!(address = self.listener.address(), "API listening");
        loop {
            let (place, accepted) = tokio::select! {
                // Cancel-safe: a client that was not accepted stays in the socket's queue.
                () = shutdown.cancelled() => return,
                next = self.next() => next,
            };
            let (site, shutdown) = (Arc::clone(&site), shutdown.clone());
            let presence = self.activity.enter();
            self.connections.spawn(async move {
                let _counted = (place, presence);
                attend(site, accepted, shutdown).await;
            });
        }
    }

    /// The next client, once there is a place for it. Cancel-safe.
    async fn next(&self) -> (OwnedSemaphorePermit, Accepted) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("this semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return (place, accepted),
                Err(error) => {
                    tracing::warn!(%error, address = self.listener.address(), "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Serves one connection, in the protocol that its first bytes tell.
pub(crate) async fn attend<C: Send + Sync + 'static>(
    site: Arc<Site<C>>,
    accepted: Accepted,
    shutdown: CancellationToken,
) {
    let connection = tokio::time::timeout(HANDSHAKE_TIME, accepted.ready()).await;
    let mut connection = match connection {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS hand-shake failed"),
        Err(_) => return tracing::debug!("TLS hand-shake took too long"),
    };
    let mut inbox = BytesMut::new();
    let silence = connection.first_word_time();
    let known = tokio::select! {
        // Cancel-safe: nothing that was read is needed any more.
        () = shutdown.cancelled() => return,
        known = within(silence, speaks_http2(&mut connection, &mut inbox)) => known,
    };
    match known {
        Ok(true) => http2::serve(site, connection, inbox, shutdown).await,
        Ok(false) => http1::serve(site, connection, inbox, shutdown).await,
        Err(error) => tracing::debug!(%error, "connection failed before its first request"),
    }
}

/// Does something on a connection within a time, if it has one.
pub(crate) async fn within<T>(
    time: Option<Duration>,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match time {
        None => work.await,
        Some(time) => match tokio::time::timeout(time, work).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
    }
}

/// Reads until the bytes are, or cannot become, the preface of HTTP/2.
async fn speaks_http2(connection: &mut Connection, inbox: &mut BytesMut) -> io::Result<bool> {
    loop {
        let length = inbox.len().min(http2::PREFACE.len());
        if inbox[..length] != http2::PREFACE[..length] {
            return Ok(false);
        }
        if length == http2::PREFACE.len() {
            return Ok(true);
        }
        if connection.read_buf(inbox).await? == 0 {
            return Ok(false);
        }
    }
}
