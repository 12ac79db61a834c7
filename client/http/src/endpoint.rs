//! Where a daemon is: Docker's host addresses.

use std::path::PathBuf;

/// The files of a TLS client identity, as in `DOCKER_CERT_PATH`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities to trust.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain.
    pub certificate: Option<PathBuf>,
    /// The client's key.
    pub key: Option<PathBuf>,
    /// Whether the daemon's certificate is checked.
    pub verify: bool,
    /// The name to expect in the daemon's certificate, where it is not the host's.
    pub server_name: Option<String>,
}

/// How a daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP, with TLS where files are given.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// TLS, if any.
        tls: Option<TlsFiles>,
    },
    /// A docker client on another machine, reached by the `ssh` program.
    Ssh {
        /// `user@`, if given.
        user: Option<String>,
        /// The machine.
        host: String,
        /// The port, if given.
        port: Option<u16>,
        /// The daemon's socket there, if given.
        path: Option<String>,
    },
}

/// A daemon's address: how to reach it and how it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to reach it.
    pub place: Place,
    /// The address for people.
    pub host: String,
}

/// A host address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// An unknown scheme.
    #[error("invalid bind address format: {0}")]
    Scheme(String),
    /// A scheme of another system.
    #[error("protocol not available")]
    Unavailable,
    /// A port that is none.
    #[error("invalid bind address format: {0}: the port is not a number up to 65535")]
    Port(String),
}

const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// Reads a host address as `-H` and `DOCKER_HOST` take it; `tls` is used with TCP only.
///
/// # Errors
///
/// When the address has no form of Docker's.
pub fn parse_host(text: &str, tls: Option<TlsFiles>) -> Result<Endpoint, InvalidHost> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    match scheme {
        "unix" => {
            let path = if rest.is_empty() { "/var/run/docker.sock" } else { rest };
            let host = format!("unix://{path}");
            Ok(Endpoint { place: Place::Unix(PathBuf::from(path)), host })
        }
        "tcp" => tcp(text, rest, tls),
        "ssh" => ssh(text, rest),
        "npipe" => Err(InvalidHost::Unavailable),
        _ => Err(InvalidHost::Scheme(text.to_owned())),
    }
}

fn tcp(text: &str, rest: &str, tls: Option<TlsFiles>) -> Result<Endpoint, InvalidHost> {
    let authority = rest.split('/').next().unwrap_or_default();
    let default_port = if tls.is_some() { TLS_PORT } else { PLAIN_PORT };
    let (host, port) = split_port(text, authority)?;
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    let port = port.unwrap_or(default_port);
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    Ok(Endpoint { place: Place::Tcp { host, port, tls }, host: format!("tcp://{shown}:{port}") })
}

fn ssh(text: &str, rest: &str) -> Result<Endpoint, InvalidHost> {
    let (authority, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
        None => (rest, None),
    };
    let (user, machine) = match authority.rsplit_once('@') {
        Some((user, machine)) => (Some(user.to_owned()), machine),
        None => (None, authority),
    };
    let (host, port) = split_port(text, machine)?;
    // A leading dash would be read by ssh as an option.
    if host.is_empty()
        || host.starts_with('-')
        || user.as_ref().is_some_and(|user| user.starts_with('-'))
    {
        return Err(InvalidHost::Scheme(text.to_owned()));
    }
    let path = path.filter(|path| path != "/");
    Ok(Endpoint { place: Place::Ssh { user, host, port, path }, host: text.to_owned() })
}

fn split_port(text: &str, authority: &str) -> Result<(String, Option<u16>), InvalidHost> {
    let number = |port: &str| port.parse().map_err(|_| InvalidHost::Port(text.to_owned()));
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) =
            bracketed.split_once(']').ok_or_else(|| InvalidHost::Scheme(text.to_owned()))?;
        let port =
            rest.strip_prefix(':').filter(|port| !port.is_empty()).map(number).transpose()?;
        return Ok((host.to_owned(), port));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() => Ok((host.to_owned(), Some(number(port)?))),
        Some((host, _)) => Ok((host.to_owned(), None)),
        None => Ok((authority.to_owned(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse_host(text, None).unwrap().host
    }

    #[test]
    fn addresses_are_completed_as_docker_completes_them() {
        assert_eq!(shown("unix:///run/d.sock"), "unix:///run/d.sock");
        assert_eq!(shown("127.0.0.1:1"), "tcp://127.0.0.1:1");
        assert_eq!(shown(":1"), "tcp://localhost:1");
        assert_eq!(shown("tcp://box"), "tcp://box:2375");
        assert_eq!(shown("tcp://[::1]:9"), "tcp://[::1]:9");
        let tls = parse_host("tcp://box", Some(TlsFiles::default())).unwrap();
        assert_eq!(tls.host, "tcp://box:2376");
    }

    #[test]
    fn unknown_schemes_and_ports_are_refused() {
        assert_eq!(parse_host("foo://x", None), Err(InvalidHost::Scheme("foo://x".into())));
        assert!(matches!(parse_host("http://x", None), Err(InvalidHost::Scheme(_))));
        assert_eq!(parse_host("npipe://x", None), Err(InvalidHost::Unavailable));
        assert!(matches!(parse_host("tcp://x:70000", None), Err(InvalidHost::Port(_))));
    }

    #[test]
    fn an_ssh_host_cannot_smuggle_in_an_option() {
        assert!(parse_host("ssh://-oProxyCommand=x", None).is_err());
        assert!(parse_host("ssh://-lroot@h", None).is_err());
        let place = parse_host("ssh://me@h:22/run/d.sock", None).unwrap().place;
        assert_eq!(
            place,
            Place::Ssh {
                user: Some("me".into()),
                host: "h".into(),
                port: Some(22),
                path: Some("/run/d.sock".into())
            }
        );
    }
}
