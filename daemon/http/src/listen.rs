//! Where clients connect.

mod tls;

use crate::connection::Connection;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
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
        let gid = socket_group(group)?;
        let listener = UnixListener::bind(&hidden).map_err(fail("bind"))?;
        let publish = || {
            fs::set_permissions(&hidden, fs::Permissions::from_mode(0o660))
                .map_err(fail("chmod"))?;
            if gid.is_some() {
                chown(&hidden, None, gid).map_err(fail("chown"))?;
            }
            fs::rename(&hidden, path).map_err(fail("rename"))
        };
        publish().inspect_err(|_| {
            let _ = fs::remove_file(&hidden);
        })?;
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
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let bound = listener.local_addr().unwrap_or(address);
        Self::network(listener, bound, tls)
    }

    /// A bound TCP socket.
    fn network(
        listener: TcpListener,
        bound: SocketAddr,
        tls: Option<&TlsFiles>,
    ) -> Result<Self, ListenError> {
        let kind = match tls.map(tls::acceptor).transpose()? {
            Some(acceptor) => ListenerKind::Tls(listener, acceptor),
            None => ListenerKind::Tcp(listener),
        };
        let listener = Self { kind, address: format!("tcp://{bound}") };
        if tls.is_none_or(|files| files.clients.is_none()) {
            listener.warn();
        }
        Ok(listener)
    }

    /// In dockerd's words, which people search for.
    fn warn(&self) {
        let host = &self.address;
        tracing::warn!(
            host,
            "Binding to IP address without --tlsverify is insecure and gives root access on this \
             machine to everyone who has access to your network."
        );
        tracing::warn!(
            host,
            "Binding to an IP address, even on localhost, can also give access to scripts run in \
             a browser. Be safe out there!"
        );
    }

    /// Takes over a listening socket, of either sort (socket activation, an earlier self); `tls`
    /// is for one that clients reach over a network.
    ///
    /// # Errors
    /// The descriptor is no such socket, or the TLS files are wrong.
    pub fn adopt(descriptor: OwnedFd, tls: Option<&TlsFiles>) -> Result<Self, ListenError> {
        let fail = |source| {
            let address = "an inherited descriptor".to_owned();
            ListenError::System { step: "adopt", address, source }
        };
        // Only a Unix socket has an address of that family.
        let unix = std::os::unix::net::UnixListener::from(descriptor);
        if unix.local_addr().is_ok() {
            unix.set_nonblocking(true).map_err(fail)?;
            let kind = ListenerKind::Unix(UnixListener::from_std(unix).map_err(fail)?);
            return Ok(Self { kind, address: "fd://".to_owned() });
        }
        let tcp = std::net::TcpListener::from(OwnedFd::from(unix));
        let address = tcp.local_addr().map_err(fail)?;
        tcp.set_nonblocking(true).map_err(fail)?;
        Self::network(TcpListener::from_std(tcp).map_err(fail)?, address, tls)
    }

    /// Where it listens, as `-H` would say it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether clients come over a network.
    pub(crate) fn is_remote(&self) -> bool {
        !matches!(self.kind, ListenerKind::Unix(_))
    }

    /// The next client. Cancel-safe.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        Ok(match &self.kind {
            ListenerKind::Unix(listener) => {
                Accepted::Ready(Connection::Unix(listener.accept().await?.0))
            }
            ListenerKind::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                without_delay(&stream);
                Accepted::Ready(Connection::Tcp(stream))
            }
            ListenerKind::Tls(listener, acceptor) => {
                let stream = listener.accept().await?.0;
                without_delay(&stream);
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
    Handshake(Box<tokio_rustls::Accept<TcpStream>>),
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

/// Sends small answers at once. It fails for a client that has left again, which shows soon.
fn without_delay(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
}

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
        assert!(!listener.is_remote());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Listener::unix(&path, Some("0")).await, Err(ListenError::InUse(_))));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Listener::unix(&file, None).await, Err(ListenError::NotASocket(_))));
    }

    #[tokio::test]
    async fn a_passed_socket_is_adopted_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(folder.path().join("d.sock")).unwrap();
        assert!(!Listener::adopt(unix.into(), None).unwrap().is_remote());
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", tcp.local_addr().unwrap());
        let adopted = Listener::adopt(tcp.into(), None).unwrap();
        assert!(adopted.is_remote());
        assert_eq!(adopted.address(), address);
        let file = fs::File::open(folder.path()).unwrap();
        assert!(Listener::adopt(file.into(), None).is_err());
    }
}
