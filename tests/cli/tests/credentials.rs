//! What a registry is told on a pull: what our client sends the daemon is what Docker's sends.

#![forbid(unsafe_code)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tests_cli::{call_at, docker, gantry};

/// A helper that answers by the server it is asked for, and notes what it was asked.
const HELPER: &str = r#"#!/bin/sh
server=$(cat)
echo "$(basename "$0") $1 $server" >>"$HOME/asked"
case $server in
    absent*) echo "credentials not found in native keychain"; exit 1 ;;
    broken*) echo "out of order"; exit 1 ;;
    token*) echo '{"ServerURL":"x","Username":"<token>","Secret":"t"}' ;;
    *) echo '{"ServerURL":"x","Username":"user","Secret":"secret"}' ;;
esac
"#;

/// A daemon that takes every pull for done and keeps the heads of requests.
struct FakeDaemon {
    heads: Arc<Mutex<Vec<String>>>,
}

impl FakeDaemon {
    fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("bind");
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { return };
                kept.lock().expect("no panic").push(read_head(&mut connection));
                let _ = connection.write_all(
                    b"HTTP/1.1 200 OK\r\nApi-Version: 1.50\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        });
        Self { heads }
    }

    /// What the pull said of its user; an empty object for nobody.
    fn credentials(&self) -> Value {
        let heads = std::mem::take(&mut *self.heads.lock().expect("no panic"));
        let pull = heads.iter().find(|head| head.contains("/images/create?")).expect("a pull");
        let line = pull.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("X-Registry-Auth").then(|| value.trim().to_owned())
        });
        line.map_or(json!({}), |line| {
            serde_json::from_slice(&URL_SAFE.decode(line).expect("base64")).expect("JSON")
        })
    }
}

fn read_head(connection: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if connection.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn helpers_and_the_file_are_asked_as_docker_asks_them() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("s");
    let daemon = FakeDaemon::start(&socket);
    let programs = home.path().join("bin");
    let docker_directory = home.path().join(".docker");
    std::fs::create_dir(&programs).unwrap();
    std::fs::create_dir(&docker_directory).unwrap();
    let install = |name: &str| {
        let path = programs.join(format!("docker-credential-{name}"));
        std::fs::write(&path, HELPER).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    install("store");
    install("own");
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let host = format!("unix://{}", socket.display());
    let asked = home.path().join("asked");
    let hub = "https://index.docker.io/v1/";
    let mut wrong = Vec::new();
    for (config, image) in [
        (json!({}), "busybox"),
        (json!({"credsStore": "store"}), "busybox"),
        (json!({"credsStore": "store"}), "localhost:5000/x"),
        (json!({"credsStore": "store"}), "absent.io/x"),
        (json!({"credsStore": "store"}), "broken.io/x"),
        (json!({"credsStore": "store"}), "token.io/x"),
        (json!({"credsStore": "not-installed"}), "busybox"),
        (json!({"credsStore": "store", "credHelpers": {"h.io": "own"}}), "h.io/x"),
        (json!({"credsStore": "store", "credHelpers": {"h.io": "own"}}), "i.io/x"),
        (json!({"credHelpers": {"h.io": "own"}}), "busybox"),
        (json!({"credHelpers": {"docker.io": "own"}}), "busybox"),
        (json!({"credHelpers": {hub: "own"}}), "busybox"),
        (json!({"credsStore": "store", "auths": {"absent.io": {"auth": "dTpw"}}}), "absent.io/x"),
        (json!({"auths": {hub: {"auth": "dTpw"}}}), "busybox"),
        (json!({"auths": {"https://h.io/v1/": {"auth": "dTpw"}}}), "h.io/x"),
        (json!({"auths": {"h.io": {"username": "u", "password": "p"}}}), "h.io/x"),
        (json!({"auths": {"h.io": {"auth": "dTpw", "identitytoken": "i"}}}), "h.io/x"),
        (json!({"auths": {"docker.io": {"auth": "dTpw"}}}), "busybox"),
        (json!({"auths": {"i.io": {"auth": "dTpw"}}}), "h.io/x"),
    ] {
        std::fs::write(docker_directory.join("config.json"), config.to_string()).unwrap();
        let [theirs, ours] = [docker(), gantry()].map(|client| {
            let _ = std::fs::remove_file(&asked);
            let variables = [("DOCKER_HOST", host.as_str()), ("PATH", path.as_str())];
            let outcome = call_at(&client, home.path(), &variables, &["pull", "-q", image]);
            assert_eq!(outcome.code, 0, "{config} {image}: {outcome:?}");
            (daemon.credentials(), std::fs::read_to_string(&asked).unwrap_or_default())
        });
        if theirs != ours {
            wrong.push(format!("{config} {image}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_helper_that_fails_is_told_of() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("s");
    let _daemon = FakeDaemon::start(&socket);
    std::fs::create_dir(home.path().join(".docker")).unwrap();
    let config = home.path().join(".docker/config.json");
    std::fs::write(config, r#"{"credsStore":"not-installed"}"#).unwrap();
    let host = format!("unix://{}", socket.display());
    let outcome = call_at(&gantry(), home.path(), &[("DOCKER_HOST", &host)], &["pull", "h.io/x"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("docker-credential-not-installed"), "{outcome:?}");
}
