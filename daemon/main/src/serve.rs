//! What the daemon does between start and end.

use crate::arguments::Arguments;
use crate::configuration;
use crate::roots::Roots;
use crate::supervisor::OwnSupervisor;
use anyhow::{Context, bail};
use contracts_engine_api::ApiVersion;
use daemon_engine::Engine;
use daemon_http::{Activity, Listener, Options, TlsFiles};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
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
pub(crate) async fn serve(settings: &Arguments, _roots: &Roots) -> anyhow::Result<End> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let own = match &settings.containerd {
        Some(_) => None,
        None => {
            let own = OwnSupervisor::new(&settings.data_root, &settings.exec_root, settings.debug);
            own.ensure().await?;
            Some(own)
        }
    };
    let socket = match (&settings.containerd, &own) {
        (Some(address), _) => strip_scheme(address),
        (None, Some(own)) => own.socket(),
        (None, None) => bail!("no supervisor"),
    };
    let config = configuration::engine(settings, socket)?;
    let engine = Engine::open(config).await.context("open engine")?;
    let keeper = own.clone().map(|own| tokio::spawn(own.keep()));
    let options = options(settings)?;
    let activity = options.activity.clone();
    let listeners = listen(settings).await?;
    let stop = CancellationToken::new();
    let serving =
        tokio::spawn(daemon_http::serve(engine.clone(), listeners, options, stop.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "daemon ready");
    // Cancel-safe: signals that were not received stay pending; the idle check starts over.
    let end = tokio::select! {
        _ = terminate.recv() => End::Told,
        _ = interrupt.recv() => End::Told,
        () = idle(&engine, &activity, settings.idle_exit) => End::Empty,
    };
    tracing::info!(?end, "daemon ends");
    if let Some(keeper) = keeper {
        keeper.abort();
    }
    stop.cancel();
    let _ = serving.await;
    engine.close().await;
    if end == End::Empty
        && let Some(own) = &own
    {
        own.stop().await;
    }
    remove_sockets(settings);
    Ok(end)
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
            // Taking an inherited descriptor by its number needs a kernel/sys function.
            Some(("fd", _)) => bail!("-H {host}: socket activation is not implemented yet"),
            _ => bail!("-H {host}: not unix://PATH or tcp://ADDRESS:PORT"),
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
