//! The client: one daemon, its idle connections, and the API version agreed with it.
//!
//! No request is spent on agreeing. The first one goes out at our newest version. A daemon that is
//! older refuses it before doing anything (moby `middleware/version.go`: 400, with its own version
//! in `Api-Version`), and the request is sent again at that version.

use crate::body::Body;
use crate::endpoint::{Endpoint, Place};
use crate::error::{Error, Result};
use crate::hijack::Hijacked;
use crate::message::{Head, Outgoing, read_head};
use crate::request::{Method, Request, Response};
use crate::transport::{ConnectError, Stream, connect};
use contracts_engine_api::ApiVersion;
use std::fmt;
use std::io::{BufReader, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Starts a daemon where none listens.
pub trait Launcher: Send + Sync {
    /// Makes sure that the daemon to be used is the right one, before the first connection.
    fn refresh(&self);

    /// Starts the daemon and returns once it answers; `false`: it may not be started from here.
    ///
    /// # Errors
    ///
    /// When it does not come up, with the words for the user.
    fn launch(&self) -> std::result::Result<bool, String>;
}

/// The newest version whose answers the commands know how to show: 1.NEWEST.
const NEWEST: u16 = 51;
/// Heads and small answers; larger reads pass it by.
const BUFFER: usize = 4 * 1024;
/// The longest pause before a daemon that breaks connections off is asked again: ten attempts, one
/// second in all.
const DYING: Duration = Duration::from_secs(1);
/// More idle connections than any command uses at once.
const MAX_IDLE: usize = 4;

/// A client of one daemon. It may be used from several threads; each request has a connection of
/// its own while it lasts.
pub struct Client {
    endpoint: Endpoint,
    headers: Vec<(String, String)>,
    launcher: Option<Box<dyn Launcher>>,
    fixed: Option<ApiVersion>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    version: ApiVersion,
    idle: Vec<BufReader<Stream>>,
    connected_before: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the daemon at `endpoint`; `fixed` is a version that is used unasked, `headers`
    /// go with each request.
    #[must_use]
    pub fn new(
        endpoint: Endpoint,
        fixed: Option<ApiVersion>,
        headers: Vec<(String, String)>,
        launcher: Option<Box<dyn Launcher>>,
    ) -> Self {
        let state = State {
            version: fixed.clone().unwrap_or_else(|| ApiVersion::new(1, NEWEST)),
            idle: Vec::new(),
            connected_before: false,
        };
        Self { endpoint, headers, launcher, fixed, state: Mutex::new(state) }
    }

    /// The daemon's address as it was given.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.endpoint.host
    }

    /// The daemon's address.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The API version in use; agreed once the daemon has answered anything.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.state().version.clone()
    }

    /// The newest API version that this client speaks.
    #[must_use]
    pub fn newest(&self) -> ApiVersion {
        ApiVersion::new(1, NEWEST)
    }

    /// A GET request.
    pub fn get(&self, path: impl AsRef<str>) -> Request<'_> {
        Request::new(self, Method::Get, path.as_ref())
    }

    /// A POST request.
    pub fn post(&self, path: impl AsRef<str>) -> Request<'_> {
        Request::new(self, Method::Post, path.as_ref())
    }

    /// A DELETE request.
    pub fn delete(&self, path: impl AsRef<str>) -> Request<'_> {
        Request::new(self, Method::Delete, path.as_ref())
    }

    /// Agrees on a version before a request whose form depends on it.
    ///
    /// # Errors
    ///
    /// When the daemon cannot be reached.
    pub fn agree(&self) -> Result<ApiVersion> {
        let answer = self.exchange(&Request::new(self, Method::Head, "/_ping"), None, false)?;
        // Daemons before 18.09 know only GET.
        let answer = match answer {
            (head, connection) if head.status != 200 => {
                drop(connection);
                self.exchange(&Request::new(self, Method::Get, "/_ping"), None, false)?
            }
            answer => answer,
        };
        let (head, connection) = answer;
        self.learn(&head);
        self.response(Method::Head, head, connection).map(drop)?;
        Ok(self.version())
    }

    /// A raw connection to the daemon, for whoever speaks HTTP on it himself.
    ///
    /// # Errors
    ///
    /// When the daemon cannot be reached.
    pub fn dial(&self) -> Result<Stream> {
        self.connect(Method::Get, "/").map(BufReader::into_inner)
    }

    pub(crate) fn keep(&self, connection: BufReader<Stream>) {
        let mut state = self.state();
        if state.idle.len() < MAX_IDLE && connection.buffer().is_empty() {
            state.idle.push(connection);
        }
    }

    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Response<'_>> {
        let (head, connection) = self.negotiated(request, false)?;
        let status = head.status;
        let response = self.response(request.method, head, connection)?;
        if status >= 400 { Err(response.into_error()) } else { Ok(response) }
    }

    pub(crate) fn hijack(&self, request: &Request<'_>) -> Result<Hijacked> {
        let (head, connection) = self.negotiated(request, true)?;
        if head.status != 101 && head.status != 200 {
            return Err(self.response(request.method, head, connection)?.into_error());
        }
        let early = connection.buffer().to_vec();
        Ok(Hijacked::new(connection.into_inner(), early, head.header("Content-Type")))
    }

    /// Sends at the current version, and once more if the daemon is older than that.
    fn negotiated(
        &self,
        request: &Request<'_>,
        upgrade: bool,
    ) -> Result<(Head, BufReader<Stream>)> {
        let version = self.version();
        let (head, connection) = self.exchange(request, Some(&version), upgrade)?;
        if head.status != 400 || self.fixed.is_some() {
            return Ok((head, connection));
        }
        match head.header("Api-Version").and_then(|text| text.parse::<ApiVersion>().ok()) {
            Some(theirs) if theirs < version => {
                self.learn(&head);
                self.response(Method::Get, head, connection)?.discard()?;
                self.exchange(request, Some(&self.version()), upgrade)
            }
            _ => Ok((head, connection)),
        }
    }

    fn learn(&self, head: &Head) {
        if self.fixed.is_some() {
            return;
        }
        if let Some(theirs) =
            head.header("Api-Version").and_then(|text| text.parse::<ApiVersion>().ok())
        {
            let mut state = self.state();
            state.version = theirs.min(ApiVersion::new(1, NEWEST));
        }
    }

    fn response(
        &self,
        method: Method,
        head: Head,
        connection: BufReader<Stream>,
    ) -> Result<Response<'_>> {
        let body = Body::new(self, connection, method, &head)
            .map_err(|_| Error::Protocol("a body without a proper length"))?;
        Ok(Response { head, body })
    }

    /// One request and its answer's head, on an idle connection or a new one.
    fn exchange(
        &self,
        request: &Request<'_>,
        version: Option<&ApiVersion>,
        upgrade: bool,
    ) -> Result<(Head, BufReader<Stream>)> {
        let target = request.target(version);
        if let Some(idle) = self.idle() {
            match self.exchange_on(idle, request, &target, upgrade) {
                // The daemon closed it in the very moment. What changes nothing is asked again.
                Err(Error::Broken { .. }) if request.method.is_safe() => {}
                outcome => return outcome,
            }
        }
        let connection = self.connect(request.method, &target)?;
        let mut outcome = self.exchange_on(connection, request, &target, upgrade);
        // A daemon that is just dying still takes connections, until the kernel has closed its
        // socket. Who would have been started had it been dead already is started now.
        let mut pause = Duration::from_millis(1);
        while self.launcher.is_some()
            && request.method.is_safe()
            && matches!(outcome, Err(Error::Broken { .. }))
            && pause < DYING
        {
            std::thread::sleep(pause);
            pause *= 2;
            self.state().connected_before = false;
            let connection = self.connect(request.method, &target)?;
            outcome = self.exchange_on(connection, request, &target, upgrade);
        }
        outcome.map_err(|error| {
            match (error, &self.endpoint.place) {
                // ssh has said on standard error what it has against the other machine.
                (Error::Broken { .. }, place @ Place::Ssh { .. }) => Error::Connect {
                    verb: request.method.verb(),
                    url: format!("http://{}{target}", self.authority()),
                    reason: format!(
                        "command [{}] has exited, make sure the URL is valid, and Docker 18.09 or \
                         later is installed on the remote host",
                        crate::ssh::command_line(place).join(" ")
                    ),
                },
                (error, _) => error,
            }
        })
    }

    fn exchange_on(
        &self,
        mut connection: BufReader<Stream>,
        request: &Request<'_>,
        target: &str,
        upgrade: bool,
    ) -> Result<(Head, BufReader<Stream>)> {
        self.write(&mut connection, request, target, upgrade)
            .map_err(|source| Error::Broken { during: "sending the request", source })?;
        let head = read_head(&mut connection)?;
        Ok((head, connection))
    }

    fn write(
        &self,
        connection: &mut BufReader<Stream>,
        request: &Request<'_>,
        target: &str,
        upgrade: bool,
    ) -> std::io::Result<()> {
        let mut headers = self.headers.clone();
        headers.extend_from_slice(&request.headers);
        let body = request.body.as_deref();
        let host = self.authority();
        let head = Outgoing {
            method: request.method,
            target,
            host: &host,
            headers: &headers,
            content: body.map(|body| ("application/json", body.len())),
            upgrade,
        };
        // One write: head and body reach the daemon in one wake-up.
        let mut bytes = head.encode(body.map_or(0, <[u8]>::len));
        bytes.extend_from_slice(body.unwrap_or_default());
        connection.get_mut().write_all(&bytes)
    }

    /// An idle connection that the daemon has not closed meanwhile.
    fn idle(&self) -> Option<BufReader<Stream>> {
        let mut state = self.state();
        while let Some(connection) = state.idle.pop() {
            if !connection.get_ref().has_news() {
                return Some(connection);
            }
        }
        None
    }

    fn connect(&self, method: Method, target: &str) -> Result<BufReader<Stream>> {
        let first = !std::mem::replace(&mut self.state().connected_before, true);
        if first && let Some(launcher) = &self.launcher {
            launcher.refresh();
        }
        let mut outcome = connect(&self.endpoint);
        if first
            && matches!(outcome, Err(ConnectError::Absent))
            && let Some(launcher) = &self.launcher
            && launcher.launch().map_err(Error::Launch)?
        {
            outcome = connect(&self.endpoint);
        }
        match outcome {
            Ok(stream) => Ok(BufReader::with_capacity(BUFFER, stream)),
            Err(error) => Err(self.unreachable(error, method, target)),
        }
    }

    fn unreachable(&self, error: ConnectError, method: Method, target: &str) -> Error {
        let host = self.endpoint.host.clone();
        let verb = method.verb();
        match (error, &self.endpoint.place) {
            (ConnectError::Absent, _) => Error::NotRunning { host },
            (ConnectError::Denied, Place::Unix(socket)) => {
                let escaped = socket.display().to_string().replace('/', "%2F");
                let url = format!("http://{escaped}{target}");
                Error::Permission { host, verb, url, socket: socket.clone() }
            }
            (ConnectError::Denied, _) => Error::NotRunning { host },
            (ConnectError::Other(reason), _) => {
                let url = format!("http://{}{target}", self.authority());
                Error::Connect { verb, url, reason }
            }
        }
    }

    /// The `Host` header. Not the socket's path: that is no valid authority.
    fn authority(&self) -> String {
        match &self.endpoint.place {
            Place::Unix(_) => "api.moby.localhost".to_owned(),
            Place::Ssh { .. } => "docker.example.com".to_owned(),
            Place::Tcp { .. } => {
                self.endpoint.host.strip_prefix("tcp://").unwrap_or_default().to_owned()
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
