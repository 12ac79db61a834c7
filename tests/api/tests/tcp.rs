//! The Engine API over TCP: who is let in, and what is said about it, by the real clients.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tests_harness::{Daemon, Registry, describe, docker_clients, program};

/// A port of loopback that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Authorities, a server's and clients' certificates, as Docker's documentation makes them.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Self {
        let certificates = Self(tempfile::tempdir().expect("temporary folder"));
        for authority in ["ca", "strange-ca"] {
            certificates.openssl(&format!(
                "req -x509 {KEY} -keyout {authority}.key -out {authority}.pem -subj /CN={authority} \
                 -days 2"
            ));
        }
        certificates.issue("server", "ca", "serverAuth");
        certificates.issue("client", "ca", "clientAuth");
        certificates.issue("stranger", "strange-ca", "clientAuth");
        certificates
    }

    fn issue(&self, name: &str, authority: &str, purpose: &str) {
        let extensions = format!("subjectAltName=IP:127.0.0.1\nextendedKeyUsage={purpose}\n");
        std::fs::write(self.0.path().join("extensions"), extensions).expect("write");
        self.openssl(&format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial \
             -out {name}.pem -days 1 -extfile extensions"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(self.0.path()).stdin(Stdio::null());
        let output = command.output().expect("openssl is installed");
        assert!(output.status.success(), "openssl {arguments}: {}", describe(&output));
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// A client's call over TLS, with the certificate of this name.
fn call(
    client: &Path,
    port: u16,
    certificates: &Certificates,
    who: Option<&str>,
    arguments: &[&str],
) -> Output {
    let mut command = Command::new(client);
    command.args(["--tlsverify", "--tlscacert", &certificates.file("ca.pem")]);
    if let Some(who) = who {
        command.args(["--tlscert", &certificates.file(&format!("{who}.pem"))]);
        command.args(["--tlskey", &certificates.file(&format!("{who}.key"))]);
    } else {
        // The default certificates are in the folder of the configuration.
        command.env("DOCKER_CERT_PATH", certificates.file("nothing"));
    }
    command.args(["-H", &format!("tcp://127.0.0.1:{port}")]).args(arguments);
    let mut child = command
        .env("DOCKER_CONFIG", certificates.file("config"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start a client");
    let mut input = child.stdin.take().expect("it is piped");
    // A client that was refused does not read it.
    let _ = input.write_all(b"typed\n");
    drop(input);
    child.wait_with_output().expect("wait for a client")
}

#[test]
fn over_tls_who_has_a_certificate_of_the_authority_gets_all_and_others_nothing() {
    let registry = Registry::filled();
    let certificates = Certificates::make();
    let port = free_port();
    let daemon = Daemon::start(&[
        "--registry-mirror",
        &registry.mirror(),
        "-H",
        &format!("tcp://127.0.0.1:{port}"),
        "--tlsverify",
        "--tlscacert",
        &certificates.file("ca.pem"),
        "--tlscert",
        &certificates.file("server.pem"),
        "--tlskey",
        &certificates.file("server.key"),
    ]);
    let _ = daemon.gantry_ok(&["pull", "busybox"]);
    let clients = docker_clients().into_iter().chain([program("gantry")]);
    for client in clients {
        let run = ["run", "--rm", "-i", "busybox", "sh", "-c", "echo out; echo err >&2; cat"];
        let output = call(&client, port, &certificates, Some("client"), &run);
        assert!(output.status.success(), "{}: {}", client.display(), describe(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "out\ntyped\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
        let refused = call(&client, port, &certificates, Some("stranger"), &["version"]);
        assert!(!refused.status.success(), "{}: {}", client.display(), describe(&refused));
        let text = describe(&refused);
        assert!(!text.contains("Server: "), "{}: {text}", client.display());
    }
    let nobody = call(&docker_clients()[0], port, &certificates, None, &["ps"]);
    assert!(!nobody.status.success(), "{}", describe(&nobody));
    // Who does not speak TLS hears nothing of the API.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    plain.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    plain.write_all(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").expect("send");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    assert!(!daemon.log().contains("Binding to IP address without --tlsverify"));
}

#[test]
fn without_tls_everybody_is_served_and_the_log_warns_in_dockerds_words() {
    let port = free_port();
    let address = format!("tcp://127.0.0.1:{port}");
    let daemon = Daemon::start(&["-H", &address]);
    for client in docker_clients() {
        let output = Command::new(&client).args(["-H", &address, "ps"]).output().expect("start");
        assert!(output.status.success(), "{}", describe(&output));
    }
    let log = daemon.log();
    for text in [
        "Binding to IP address without --tlsverify is insecure and gives root access on this \
         machine to everyone who has access to your network.",
        "Binding to an IP address, even on localhost, can also give access to scripts run in a \
         browser. Be safe out there!",
    ] {
        assert!(log.contains(text), "{log}");
    }
}
