//! Which daemon to speak to: Docker's rules, with our own default.

use crate::launch::{self, Auto};
use base_telemetry::logger::{self, Format, Level};
use base_telemetry::{TRACEPARENT, TRACEPARENT_VARIABLE, TraceContext};
use client_commands::arguments::Arguments;
use client_commands::config_file::ConfigFile;
use client_commands::contexts::{self, Contexts};
use client_http::{Client, Endpoint, Launcher, TlsFiles, parse_host};
use contracts_engine_api::ApiVersion;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the choice depends on.
pub(crate) struct Surroundings<'a> {
    pub(crate) global: &'a Arguments,
    pub(crate) environment: &'a BTreeMap<String, String>,
    pub(crate) config: &'a ConfigFile,
    pub(crate) config_directory: &'a Path,
    /// Whether a daemon is not asked for, and none is to be started.
    pub(crate) offline: bool,
}

/// The choice.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) context: String,
    /// The daemon's address where no context is named.
    pub(crate) default_host: String,
}

impl Surroundings<'_> {
    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// Chooses by `--context` or `-H`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the configuration's context,
/// and last our own socket, the only one behind which a daemon is started.
pub(crate) fn resolve(around: &Surroundings<'_>) -> Result<Connection, String> {
    let hosts: Vec<&str> = around.global.list("host").collect();
    let flag_context = around.global.text_if_given("context");
    if !hosts.is_empty() && flag_context.is_some() {
        return Err("conflicting options: cannot specify both --host and --context".to_owned());
    }
    if hosts.len() > 1 {
        return Err(unresolved("Specify only one -H"));
    }
    let context = match (flag_context, hosts.first(), around.variable("DOCKER_HOST")) {
        (Some(name), ..) => name,
        (None, None, None) => around
            .variable("DOCKER_CONTEXT")
            .or(Some(around.config.current_context.as_str()).filter(|name| !name.is_empty()))
            .unwrap_or(contexts::DEFAULT),
        _ => contexts::DEFAULT,
    };
    // An empty one names none.
    let flag_host = hosts.first().copied().filter(|host| !host.trim().is_empty());
    let named_host = flag_host.or(around.variable("DOCKER_HOST"));
    let mut launcher: Option<Box<dyn Launcher>> = None;
    let endpoint = match (context, named_host) {
        (contexts::DEFAULT, Some(host)) => {
            tls(around).and_then(|tls| parse_host(host, tls).map_err(not_a_host))
        }
        (contexts::DEFAULT, None) => {
            if !around.offline {
                launcher = Auto::new().map(|auto| Box::new(auto) as Box<dyn Launcher>);
            }
            Ok(own_socket())
        }
        (name, _) => Contexts::below(around.config_directory).endpoint(name).map_err(unresolved),
    };
    let endpoint = match endpoint {
        Err(_) if around.offline => own_socket(),
        endpoint => endpoint?,
    };
    let fixed = around
        .variable("DOCKER_API_VERSION")
        .map(|text| text.trim_start_matches('v').parse::<ApiVersion>())
        .transpose()
        .map_err(|_| "Failed to initialize: DOCKER_API_VERSION is no API version".to_owned())?;
    let trace = trace(around);
    if around.global.on("debug") {
        let fields = [
            ("program", "client"),
            ("trace_id", &trace.trace_id()),
            ("host", &endpoint.host),
            ("context", context),
        ];
        let stderr = &mut std::io::stderr();
        logger::write(stderr, Format::Text, Level::Debug, "daemon chosen", &fields);
    }
    let client = Client::new(endpoint, fixed, headers(around, trace), launcher);
    let default_host = named_host.map_or_else(|| own_socket().host, str::to_owned);
    Ok(Connection { client, context: context.to_owned(), default_host })
}

/// Where our own daemon listens.
fn own_socket() -> Endpoint {
    let socket = launch::SOCKET;
    let host = format!("unix://{socket}");
    Endpoint { place: client_http::Place::Unix(PathBuf::from(socket)), host }
}

fn not_a_host(error: client_http::InvalidHost) -> String {
    match error {
        client_http::InvalidHost::Unavailable => format!("Failed to initialize: {error}"),
        error => unresolved(error),
    }
}

/// Docker's beginning of every complaint about where the daemon is.
fn unresolved(why: impl std::fmt::Display) -> String {
    format!("Failed to initialize: unable to resolve docker endpoint: {why}")
}

/// The trace that this call is part of: the environment's, else a new one.
fn trace(around: &Surroundings<'_>) -> TraceContext {
    let given = around.variable(TRACEPARENT_VARIABLE);
    given.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Headers of every request: who we are, whose work this is part of, and what the user wants.
fn headers(around: &Surroundings<'_>, trace: TraceContext) -> Vec<(String, String)> {
    let agent = format!("Gantry-Client/{} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::OS);
    let mut headers =
        vec![("User-Agent".to_owned(), agent), (TRACEPARENT.to_owned(), trace.to_string())];
    let own = around.config.http_headers.iter();
    headers.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    headers
}

/// TLS as flags and `DOCKER_TLS…` say. The files must be there: a missing one is no reason to
/// talk unprotected.
fn tls(around: &Surroundings<'_>) -> Result<Option<TlsFiles>, String> {
    let global = around.global;
    let verify = global.on("tlsverify")
        || (!global.given("tlsverify") && around.variable("DOCKER_TLS_VERIFY").is_some());
    if !(verify || global.on("tls") || around.variable("DOCKER_TLS").is_some()) {
        return Ok(None);
    }
    let directory = around
        .variable("DOCKER_CERT_PATH")
        .map_or_else(|| around.config_directory.to_owned(), PathBuf::from);
    let file = |flag: &'static str, name: &str| {
        global.text_if_given(flag).map_or_else(|| directory.join(name), PathBuf::from)
    };
    let ca = file("tlscacert", "ca.pem");
    if !ca.exists() {
        let why = format!("open {}: no such file or directory", ca.display());
        return Err(unresolved(why));
    }
    let certificate = file("tlscert", "cert.pem");
    let key = file("tlskey", "key.pem");
    let client_identity = certificate.exists() && key.exists();
    Ok(Some(TlsFiles {
        ca: Some(ca),
        certificate: client_identity.then_some(certificate),
        key: client_identity.then_some(key),
        verify,
        server_name: None,
    }))
}
