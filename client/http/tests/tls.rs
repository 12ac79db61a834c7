//! TLS to a daemon: what is checked, and that the stream behind it behaves like a socket.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use client_http::{Client, TlsFiles, parse_host};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A certificate for `localhost` that is its own authority, and its key.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("ca.pem"), folder.join("key.pem"));
    let configuration = folder.join("openssl.cnf");
    let text = "[req]\ndistinguished_name = name\nx509_extensions = leaf\n[name]\n[leaf]\n\
                subjectAltName = DNS:localhost\nbasicConstraints = critical,CA:FALSE\n";
    std::fs::write(&configuration, text).unwrap();
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-config"])
        .arg(&configuration)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("start openssl (apt-get install openssl)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (certificate, key)
}

type Connection = StreamOwned<ServerConnection, TcpStream>;

/// Serves one connection, and returns its port.
fn serve(
    certificate: &Path,
    key: &Path,
    serve: impl FnOnce(Connection) + Send + 'static,
) -> (u16, std::thread::JoinHandle<()>) {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream));
    });
    (port, thread)
}

fn client(host: &str, port: u16, files: TlsFiles) -> Client {
    let endpoint = parse_host(&format!("tcp://{host}:{port}"), Some(files)).unwrap();
    Client::new(endpoint, None, Vec::new(), None)
}

fn read_head(connection: &mut Connection) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
}

#[test]
fn a_stream_is_carried_both_ways_past_the_end_of_input() {
    const MUCH: usize = 3 << 20;
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let (port, daemon) = serve(&certificate, &key, |mut connection| {
        read_head(&mut connection);
        connection.write_all(b"HTTP/1.1 101 UPGRADED\r\n\r\n").unwrap();
        let mut input = Vec::new();
        connection.read_to_end(&mut input).unwrap();
        assert_eq!(input.len(), MUCH);
        connection.write_all(&input).unwrap();
        connection.conn.send_close_notify();
        connection.flush().unwrap();
    });
    let files = TlsFiles { ca: Some(certificate), verify: true, ..TlsFiles::default() };
    let hijacked = client("localhost", port, files).post("/attach").hijack().unwrap();
    let (mut reading, mut writing) = hijacked.split().unwrap();
    let input: Vec<u8> = (0..MUCH).map(|n| (n % 251) as u8).collect();
    let sent = input.clone();
    let writer = std::thread::spawn(move || {
        writing.write_all(&sent).unwrap();
        writing.close_write().unwrap();
    });
    let mut output = Vec::new();
    reading.read_to_end(&mut output).unwrap();
    writer.join().unwrap();
    daemon.join().unwrap();
    assert!(output == input, "{} of {} bytes came back", output.len(), input.len());
}

#[test]
fn a_daemon_that_cannot_prove_its_name_is_refused_unless_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let answer = |mut connection: Connection| {
        // The handshake is refused, or a request comes.
        let mut byte = [0];
        if connection.read_exact(&mut byte).is_ok() {
            read_head(&mut connection);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            let _ = connection.flush();
        }
    };
    let ca = Some(certificate.clone());
    for (host, verify, ca, good) in [
        ("localhost", true, ca.clone(), true),
        ("127.0.0.1", true, ca.clone(), false),
        ("localhost", true, None, false),
        ("127.0.0.1", false, None, true),
    ] {
        let (port, daemon) = serve(&certificate, &key, answer);
        let files = TlsFiles { ca, verify, ..TlsFiles::default() };
        let outcome =
            client(host, port, files).get("/x").send().and_then(client_http::Response::bytes);
        assert_eq!(outcome.is_ok(), good, "{host} {verify}: {outcome:?}");
        if outcome.is_err() {
            // Without authorities there is no connection at all.
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
        daemon.join().unwrap();
    }
}
