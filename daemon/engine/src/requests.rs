//! What a caller asks for where Docker's API has query parameters and no JSON body.

use bytes::Bytes;
use contracts_engine_api::Filters;
use contracts_engine_api::auth::AuthConfig;
use jiff::Timestamp;
use std::os::fd::OwnedFd;
use tokio::io::{AsyncRead, AsyncWrite};

/// `GET /containers/json`.
#[derive(Clone, Debug, Default)]
pub struct ContainerListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// The newest this many, whatever their state.
    pub limit: Option<usize>,
    /// Compute sizes.
    pub size: bool,
    /// Which ones.
    pub filters: Filters,
}

/// `GET /containers/{id}/logs`.
#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    /// Entries of standard output.
    pub stdout: bool,
    /// Entries of standard error.
    pub stderr: bool,
    /// Go on with what comes.
    pub follow: bool,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Not newer than this.
    pub until: Option<Timestamp>,
    /// The last this many; `None` is all.
    pub tail: Option<u64>,
    /// Prefix each entry with its time.
    pub timestamps: bool,
    /// Prefix each entry with its extra attributes.
    pub details: bool,
}

/// `POST /containers/{id}/attach`.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// Feed the client's bytes to the process.
    pub stdin: bool,
    /// Send standard output.
    pub stdout: bool,
    /// Send standard error.
    pub stderr: bool,
    /// First what the log has.
    pub logs: bool,
    /// Then what comes.
    pub stream: bool,
    /// The keys that end the attachment (`ctrl-p,ctrl-q` when not given).
    pub detach_keys: Option<String>,
}

/// The client's end of a hijacked connection.
pub struct ClientStream {
    /// The connection.
    pub transport: Transport,
    /// Bytes that were read from it behind the request's head.
    pub buffered: Bytes,
}

/// How the client's bytes are reached.
pub enum Transport {
    /// A plain socket, handed on to the shim.
    Socket(OwnedFd),
    /// Anything else (TLS, HTTP/2): the engine copies between it and a socket pair.
    Relay(Box<dyn Duplex>),
}

/// A stream in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What `POST /containers/{id}/wait` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// That it does not run; true at once when it does not.
    #[default]
    NotRunning,
    /// The next time it exits.
    NextExit,
    /// That it has been removed.
    Removed,
}

/// `POST /containers/{id}/stop` and `…/restart`.
#[derive(Clone, Debug, Default)]
pub struct StopOptions {
    /// Instead of the container's stop signal.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; negative waits for ever; `None` is the container's or 10.
    pub timeout: Option<i64>,
}

/// `DELETE /containers/{id}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Kill it first.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// `GET /containers/{id}/stats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatsOptions {
    /// Go on with a sample each second.
    pub stream: bool,
    /// Do not wait for a second sample to compare with.
    pub one_shot: bool,
}

/// `POST /images/create` with `fromImage`.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// `fromImage`: a reference, possibly without tag or digest.
    pub image: String,
    /// `tag`: a tag or a digest.
    pub tag: String,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// What `X-Registry-Auth` said.
    pub auth: Option<AuthConfig>,
}

/// `GET /images/json`.
#[derive(Clone, Debug, Default)]
pub struct ImageListOptions {
    /// Also untagged parents (there are none with this store).
    pub all: bool,
    /// Fill `Manifests`.
    pub manifests: bool,
    /// Compute `SharedSize`.
    pub shared_size: bool,
    /// Which ones.
    pub filters: Filters,
}

/// `DELETE /images/{name}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageRemoveOptions {
    /// Although containers use it or several names point to it.
    pub force: bool,
    /// Keep untagged parents.
    pub no_prune: bool,
}

/// `GET /events`.
#[derive(Clone, Debug, Default)]
pub struct EventsOptions {
    /// First the kept ones from then on.
    pub since: Option<Timestamp>,
    /// End then.
    pub until: Option<Timestamp>,
    /// Which ones; unknown keys are ignored as Docker does.
    pub filters: Filters,
}

/// `POST /exec/{id}/start`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecStartOptions {
    /// Whether the caller expects a terminal's raw stream.
    pub tty: bool,
    /// Height and width of the terminal.
    pub console_size: Option<[u32; 2]>,
}
