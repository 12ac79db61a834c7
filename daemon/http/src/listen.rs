//! Where clients connect.

mod tls;

use crate::connection::Connection;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

/// The server's key and certificate, and whose certificates clients must show.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// PEM, `--tlscert`.
    pub certificate: PathBuf,
    /// PEM, `--tlskey`.
    pub key: PathBuf,
    /// PEM, `--tlscacert` with `--tlsverify`; `None` lets every client in.
    pub clients: Option<PathBuf>,
}

/// A socket that clients connect to.
pub struct Listener {
    kind: ListenerKind,
    address: String,
}

enum ListenerKind {
    Unix(UnixListener),
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
}

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers there.
    #[error("{0}: a daemon is listening there already")]
    InUse(PathBuf),
    /// The path is taken by something that is no socket.
    #[error("{0}: exists and is not a socket")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("{step} {address}")]
    System {
        /// What was being done.
        step: &'static str,
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS files are not what they should be.
    #[error("TLS: {0}")]
    Tls(String),
}

impl Listener {
    /// Listens on a Unix socket that only its group may use: the named one, else `docker`, else
    /// `gantry`, else root's.
    ///
    /// # Errors
    /// Another daemon listens there, or the system refuses.
    pub async fn unix(path: &Path, group: Option<&str>) -> Result<Self, ListenError> {
        let fail = |step| {
            let address = path.display().to_string();
            move |source| ListenError::System { step, address, source }
        };
        remove_stale(path).await?;
        // Bound under a name that nobody knows and renamed once it has its mode and group, so
        // that there is no moment in which anybody may connect.
        let hidden = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden).map_err(fail("bind"))?;
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o660)).map_err(fail("chmod"))?;
        if let Some(gid) = socket_group(group)? {
            chown(&hidden, None, Some(gid)).map_err(fail("chown"))?;
        }
        fs::rename(&hidden, path).map_err(fail("rename"))?;
        Ok(Self {
            kind: ListenerKind::Unix(listener),
            address: format!("unix://{}", path.display()),
        })
    }

    /// Listens on a TCP address. Without `tls` everybody who reaches it is root on this machine.
    ///
    /// # Errors
    /// The system refuses, or the TLS files are wrong.
    pub async fn tcp(address: SocketAddr, tls: Option<&TlsFiles>) -> Result<Self, ListenError> {
        let text = format!("tcp://{address}");
        let fail = |source| ListenError::System { step: "bind", address: text.clone(), source };
        let acceptor = tls.map(tls::acceptor).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let bound = listener.local_addr().unwrap_or(address);
        let kind = match acceptor {
            Some(acceptor) => ListenerKind::Tls(listener, acceptor),
            None => {
                tracing::warn!(address = %bound, "Binding to an IP address without TLS gives everybody \
                    who reaches it root access to this machine");
                ListenerKind::Tcp(listener)
            }
        };
        Ok(Self { kind, address: format!("tcp://{bound}") })
    }

    /// Takes over a listening Unix socket (socket activation, an earlier self).
    ///
    /// # Errors
    /// The descriptor is no such socket.
    pub fn adopt_unix(descriptor: OwnedFd) -> Result<Self, ListenError> {
        let adopt = || -> io::Result<UnixListener> {
            let listener = std::os::unix::net::UnixListener::from(descriptor);
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        };
        let listener = adopt().map_err(|source| ListenError::System {
            step: "adopt",
            address: "an inherited descriptor".to_owned(),
            source,
        })?;
        Ok(Self { kind: ListenerKind::Unix(listener), address: "fd://".to_owned() })
    }

    /// Where it listens, as `-H` would say it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next client. Cancel-safe.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        Ok(match &self.kind {
            ListenerKind::Unix(listener) => {
                Accepted::Ready(Connection::Unix(listener.accept().await?.0))
            }
            ListenerKind::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                Accepted::Ready(Connection::Tcp(stream))
            }
            ListenerKind::Tls(listener, acceptor) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                Accepted::Handshake(Box::new(acceptor.accept(stream)))
            }
        })
    }
}

/// A client, some of whom have to prove themselves first.
pub(crate) enum Accepted {
    /// Go on.
    Ready(Connection),
    /// The TLS hand-shake is to be awaited, by the connection's own task.
    Handshake(Box<tokio_rustls::Accept<tokio::net::TcpStream>>),
}

impl Accepted {
    /// Awaits what has to come first.
    pub(crate) async fn ready(self) -> io::Result<Connection> {
        match self {
            Self::Ready(connection) => Ok(connection),
            Self::Handshake(handshake) => Ok(Connection::Tls(Box::new(handshake.await?))),
        }
    }
}

/// Removes a socket that nobody listens on.
async fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(|source| ListenError::System {
        step: "remove",
        address: path.display().to_string(),
        source,
    })
}

/// The socket's group; naming one that does not exist is an error, as a number it need not.
fn socket_group(wanted: Option<&str>) -> Result<Option<u32>, ListenError> {
    let database = fs::read_to_string("/etc/group").unwrap_or_default();
    match wanted {
        Some(name) => {
            group_id(&database, name).or_else(|| name.parse().ok()).map(Some).ok_or_else(|| {
                ListenError::System {
                    step: "look up",
                    address: format!("group {name}"),
                    source: io::ErrorKind::NotFound.into(),
                }
            })
        }
        None => Ok(group_id(&database, "docker").or_else(|| group_id(&database, "gantry"))),
    }
}

/// A group's number in the text of `/etc/group` (group(5)).
fn group_id(database: &str, name: &str) -> Option<u32> {
    database.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

impl ListenerKind {
    #[cfg(test)]
    fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

/// Shared by all connections of a TLS listener.
pub(crate) type ServerConfig = Arc<rustls::ServerConfig>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let database = "root:x:0:\ndocker2:x:998:\ndocker:x:999:me\n";
        assert_eq!(group_id(database, "docker"), Some(999));
        assert_eq!(group_id(database, "dock"), None);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::unix(&path, Some("0")).await.unwrap();
        assert!(listener.kind.is_unix());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Listener::unix(&path, Some("0")).await, Err(ListenError::InUse(_))));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Listener::unix(&file, None).await, Err(ListenError::NotASocket(_))));
    }
}
