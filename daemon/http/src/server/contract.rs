//! Whole connections: which protocol they speak, how long they may be silent, how many there may
//! be, and who may connect over TLS.

use super::{Activity, Door, attend};
use crate::connection::Connection;
use crate::http1::contract::site;
use crate::listen::{Accepted, Listener, TlsFiles};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const REQUEST: &[u8] = b"GET /echo HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";

/// A client over TCP, of whom the daemon has just become aware.
async fn remote_client() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepted = Accepted::Ready(Connection::Tcp(listener.accept().await.unwrap().0));
    tokio::spawn(attend(site(), accepted, CancellationToken::new()));
    ours
}

fn local_client() -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let accepted = Accepted::Ready(Connection::Unix(theirs));
    tokio::spawn(attend(site(), accepted, CancellationToken::new()));
    ours
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_on_the_same_socket() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let accepted = Accepted::Ready(Connection::Unix(theirs));
    tokio::spawn(attend(site(), accepted, CancellationToken::new()));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(ours))
            .await
            .unwrap();
    tokio::spawn(connection);
    for (path, status) in [("/v1.44/echo", 200), ("/fail", 400), ("/nothing", 404)] {
        let uri = format!("http://d{path}");
        let request = hyper::Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers().contains_key("api-version"), status != 404, "{path}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"\n"), "{path}");
    }
}

#[tokio::test]
async fn bytes_that_only_begin_like_http2_are_http1() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let accepted = Accepted::Ready(Connection::Unix(theirs));
    tokio::spawn(attend(site(), accepted, CancellationToken::new()));
    ours.write_all(b"P").await.unwrap();
    ours.write_all(b"OST /echo HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    ours.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// The clock stands still here while there is something to do, and else goes to the next timer.
#[tokio::test(start_paused = true)]
async fn who_is_silent_over_a_network_is_let_go_before_and_between_requests() {
    let mut client = remote_client().await;
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    let mut client = remote_client().await;
    client.write_all(b"GET /echo HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_on_this_machine_is_waited_for() {
    let mut client = local_client();
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    tokio::time::resume();
    client.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_head_and_a_body_must_come_to_their_end() {
    let mut client = local_client();
    client.write_all(b"GET /echo HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    let mut client = local_client();
    let head = b"POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\n";
    client.write_all(head).await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_full_listener_keeps_nobody_out_of_another_and_the_daemon_from_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.sock");
    let tcp = Listener::tcp("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let address = tcp.address().trim_start_matches("tcp://").to_owned();
    let unix = Listener::unix(&path, Some("0")).await.unwrap();
    let shutdown = CancellationToken::new();
    let doors = [(tcp, 1), (unix, 1)].map(|(listener, places)| {
        let door = Door {
            listener,
            places: Arc::new(Semaphore::new(places)),
            activity: Activity::default(),
            connections: TaskTracker::new(),
        };
        tokio::spawn(door.receive(site(), shutdown.clone()))
    });
    let mut first = TcpStream::connect(&address).await.unwrap();
    first.write_all(b"GET /slow HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    let mut second = TcpStream::connect(&address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    let mut local = UnixStream::connect(&path).await.unwrap();
    local.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    local.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    // The first still has the only place, and the second waits for it: both do not hold us up.
    shutdown.cancel();
    for door in doors {
        door.await.unwrap();
    }
}

#[tokio::test]
async fn over_tls_only_who_has_a_certificate_of_the_authority_gets_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let file = |name: &str| folder.path().join(name);
    let files = TlsFiles {
        certificate: file("server.pem"),
        key: file("server.key"),
        clients: Some(file("ca.pem")),
    };
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), Some(&files)).await.unwrap();
    let address = listener.address().trim_start_matches("tcp://").to_owned();
    tokio::spawn(async move {
        while let Ok(accepted) = listener.accept().await {
            tokio::spawn(attend(site(), accepted, CancellationToken::new()));
        }
    });
    let known = ask(&address, folder.path(), true).await.unwrap();
    assert!(known.starts_with("HTTP/1.1 200 OK\r\n"), "{known}");
    assert!(ask(&address, folder.path(), false).await.is_err());
}

/// Sends one request over TLS.
async fn ask(address: &str, folder: &Path, with_certificate: bool) -> std::io::Result<String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if with_certificate {
        let certificate = CertificateDer::from_pem_file(folder.join("client.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("client.key")).unwrap();
        builder.with_client_auth_cert(vec![certificate], key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// An authority, a server's and a client's certificate, as Docker's documentation makes them.
fn make_certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let status = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("openssl is installed (apt-get install openssl)");
        assert!(status.success(), "openssl {arguments}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"));
    for (name, purpose) in [("server", "serverAuth"), ("client", "clientAuth")] {
        std::fs::write(
            folder.join("extensions"),
            format!("subjectAltName=DNS:localhost\nextendedKeyUsage={purpose}\n"),
        )
        .unwrap();
        openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem \
             -days 1 -extfile extensions"
        ));
    }
}
