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
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at a time; further ones wait to be accepted.
pub(crate) const MAX_CONNECTIONS: usize = 4096;
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
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accepting = listeners.into_iter().map(|listener| {
        let (site, places) = (Arc::clone(&site), Arc::clone(&places));
        let (connections, shutdown) = (connections.clone(), shutdown.clone());
        let activity = options.activity.clone();
        tokio::spawn(async move {
            tracing::info!(address = listener.address(), "API listening");
            while let Some(accepted) = next(&listener, &shutdown).await {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let (site, shutdown) = (Arc::clone(&site), shutdown.clone());
                let presence = activity.enter();
                connections.spawn(async move {
                    let _counted = (place, presence);
                    attend(site, accepted, shutdown).await;
                });
            }
        })
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

/// The next client; `None` once the daemon stops.
async fn next(listener: &Listener, shutdown: &CancellationToken) -> Option<Accepted> {
    loop {
        let accepted: io::Result<Accepted> = tokio::select! {
            // Cancel-safe: a client that was not accepted stays in the socket's queue.
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                tracing::warn!(%error, address = listener.address(), "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
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
    let known = tokio::select! {
        // Cancel-safe: nothing that was read is needed any more.
        () = shutdown.cancelled() => return,
        known = speaks_http2(&mut connection, &mut inbox) => known,
    };
    match known {
        Ok(true) => http2::serve(site, connection, inbox, shutdown).await,
        Ok(false) => http1::serve(site, connection, inbox, shutdown).await,
        Err(error) => tracing::debug!(%error, "connection failed before its first request"),
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
