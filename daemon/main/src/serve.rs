//! What the daemon does between start and end.

use crate::activation::Passed;
use crate::arguments::Arguments;
use crate::configuration::Settings;
use crate::signals::{Request, Signals};
use crate::supervisor::OwnSupervisor;
use anyhow::{Context, bail};
use base_subscriber::Log;
use contracts_engine_api::ApiVersion;
use daemon_engine::Engine;
use daemon_http::{Activity, Listener, Options, TlsFiles};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often an idle daemon looks whether it may go.
const IDLE_CHECK: Duration = Duration::from_millis(500);

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to; containers and supervisor may still be there.
    Told,
    /// Nobody needed it; its supervisor is gone, too.
    Empty,
}

/// Runs the daemon.
pub(crate) async fn serve(
    mut settings: Settings,
    mut signals: Signals,
    log: &Log,
) -> anyhow::Result<End> {
    // Cancel-safe: a start that is broken off is one of the crashes that the next start mends.
    let (daemon, activity) = tokio::select! {
        biased;
        () = signals.end() => return Ok(End::Told),
        started = start(&settings) => started?,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "daemon ready");
    let engine = daemon.engine.clone();
    let nobody = idle(&engine, &activity, settings.arguments.idle_exit);
    tokio::pin!(nobody);
    let end = loop {
        // Cancel-safe: signals that were not received stay pending; `nobody` is pinned.
        let request = tokio::select! {
            request = signals.next() => request,
            () = &mut nobody => break End::Empty,
        };
        match request {
            Request::End => break End::Told,
            Request::Reload => reload(&mut settings, &daemon.engine, log),
            Request::Report => report(&daemon.engine),
        }
    };
    tracing::info!(?end, "daemon ends");
    daemon.end(end).await;
    remove_sockets(&settings.arguments);
    Ok(end)
}

/// What runs.
struct Daemon {
    engine: Engine,
    own: Option<OwnSupervisor>,
    keeper: Option<JoinHandle<()>>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Daemon {
    async fn end(self, end: End) {
        if let Some(keeper) = self.keeper {
            keeper.abort();
        }
        self.stop.cancel();
        let _ = self.serving.await;
        self.engine.close().await;
        if end == End::Empty
            && let Some(own) = &self.own
        {
            own.stop().await;
        }
    }
}

async fn start(all: &Settings) -> anyhow::Result<(Daemon, Activity)> {
    let settings = &all.arguments;
    let (own, socket) = match &settings.containerd {
        Some(address) => (None, strip_scheme(address)),
        None => {
            let own = OwnSupervisor::new(settings);
            own.ensure().await?;
            let socket = own.socket();
            (Some(own), socket)
        }
    };
    let engine = Engine::open(all.engine(socket)?).await.context("open engine")?;
    let options = options(settings)?;
    let activity = options.activity.clone();
    let listeners = listen(settings).await.inspect_err(|_| remove_sockets(settings))?;
    let keeper = own.clone().map(|own| tokio::spawn(own.keep()));
    let stop = CancellationToken::new();
    let serving =
        tokio::spawn(daemon_http::serve(engine.clone(), listeners, options, stop.clone()));
    Ok((Daemon { engine, own, keeper, stop, serving }, activity))
}

/// Takes over what has changed in the configuration file; a file that is wrong changes nothing.
fn reload(settings: &mut Settings, engine: &Engine, log: &Log) {
    let path = settings.arguments.config_file.display().to_string();
    let changes = match settings.changes() {
        Ok(changes) => changes,
        Err(error) => {
            let error = format!("{error:#}");
            return tracing::error!(path, error, "configuration not reloaded");
        }
    };
    if let Err(error) = engine.reload(changes.reloadable.clone()) {
        return tracing::error!(path, %error, "configuration not reloaded");
    }
    for (key, before, now) in &changes.now {
        tracing::info!(key, %before, %now, "setting reloaded");
    }
    for key in &changes.later {
        tracing::warn!(key, "changed setting has no effect before the next start");
    }
    settings.take(changes);
    log.set(settings.arguments.log_level());
    tracing::info!(path, "configuration reloaded");
}

/// Logs what the daemon is doing.
fn report(engine: &Engine) {
    let metrics = tokio::runtime::Handle::current().metrics();
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    tracing::info!(
        tasks = metrics.num_alive_tasks(),
        queued = metrics.global_queue_depth(),
        descriptors,
        containers_running = engine.busy(),
        "report"
    );
}

/// Waits until nobody has been connected and nothing has run for so many seconds.
async fn idle(engine: &Engine, activity: &Activity, seconds: Option<u64>) {
    let Some(limit) = seconds.map(Duration::from_secs) else { return std::future::pending().await };
    let mut busy_until = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(IDLE_CHECK.min(limit)).await;
        if engine.busy() {
            busy_until = tokio::time::Instant::now();
        }
        let quiet = activity.idle().is_some_and(|idle| idle >= limit);
        if quiet && busy_until.elapsed() >= limit {
            return;
        }
    }
}

fn options(settings: &Arguments) -> anyhow::Result<Options> {
    let mut options = Options::default();
    if let Some(text) = &settings.min_api_version {
        let version: ApiVersion =
            text.parse().ok().with_context(|| format!("--min-api-version {text}"))?;
        if version < ApiVersion::oldest() || version > ApiVersion::newest() {
            bail!(
                "--min-api-version {text}: outside {} to {}",
                ApiVersion::oldest().as_str(),
                ApiVersion::newest().as_str()
            );
        }
        options.oldest_version = version;
    }
    Ok(options)
}

async fn listen(settings: &Arguments) -> anyhow::Result<Vec<Listener>> {
    let tls = (settings.tls || settings.tlsverify).then(|| TlsFiles {
        certificate: settings.tlscert.clone(),
        key: settings.tlskey.clone(),
        clients: settings.tlsverify.then(|| settings.tlscacert.clone()),
    });
    let mut listeners = Vec::new();
    for host in settings.hosts() {
        match host.split_once("://") {
            Some(("unix", path)) => {
                listeners.push(Listener::unix(Path::new(path), settings.group.as_deref()).await?);
            }
            Some(("tcp", address)) => {
                let mut found =
                    tokio::net::lookup_host(address).await.with_context(|| format!("-H {host}"))?;
                let address = found.next().with_context(|| format!("-H {host}: no address"))?;
                listeners.push(Listener::tcp(address, tls.as_ref()).await?);
            }
            Some(("fd", which)) => {
                let sockets = Passed::from_environment().sockets(which);
                for socket in sockets.with_context(|| format!("-H {host}"))? {
                    listeners.push(Listener::adopt(socket, tls.as_ref())?);
                }
            }
            _ => bail!("-H {host}: not unix://PATH, tcp://ADDRESS:PORT or fd://"),
        }
    }
    Ok(listeners)
}

fn strip_scheme(address: &Path) -> PathBuf {
    let text = address.to_string_lossy();
    text.strip_prefix("unix://").map_or_else(|| address.to_owned(), PathBuf::from)
}

fn remove_sockets(settings: &Arguments) {
    for host in settings.hosts() {
        if let Some(path) = host.strip_prefix("unix://") {
            let _ = std::fs::remove_file(path);
        }
    }
}
