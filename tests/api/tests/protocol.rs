//! Where the Engine API leaves HTTP, on raw sockets: the same checks for the original and ours.

#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tests_api::wire::{self, Answer, Call, Session, demultiplex};
use tests_harness::{Daemon, Reference, Registry, images, reference, wait};

#[test]
fn our_daemon_keeps_the_protocol() {
    let registry = Registry::filled();
    let daemon = Daemon::start(&["--registry-mirror", &registry.mirror()]);
    let _ = daemon.gantry_ok(&["pull", "busybox"]);
    keeps_the_protocol(&daemon.socket());
}

#[test]
fn the_original_keeps_the_protocol() {
    let daemon = Reference::dockerd(&[]);
    let archive = reference::archive(&images::busybox(), "busybox:latest", daemon.scratch());
    let loaded = daemon.docker(&["load", "-q", "-i"]).arg(archive).status().unwrap();
    assert!(loaded.success());
    let host = daemon.docker_host();
    keeps_the_protocol(Path::new(host.trim_start_matches("unix://")));
}

fn keeps_the_protocol(socket: &Path) {
    attach_with_and_without_an_upgrade(socket);
    attach_may_be_a_connections_second_request(socket);
    a_terminal_is_not_framed(socket);
    heads_come_before_there_is_anything_to_tell(socket);
    exec_has_its_own_input_and_exit_code(socket);
    what_cannot_run_is_told_in_the_stream(socket);
}

const ECHO: &str = "echo out; echo err >&2; cat";

fn attach_with_and_without_an_upgrade(socket: &Path) {
    for (headers, head) in [
        ("", "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"),
        (
            "Connection: Upgrade\r\nUpgrade: tcp\r\n",
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        ),
    ] {
        let id = create(
            socket,
            &json!({"Cmd": ["sh", "-c", ECHO], "OpenStdin": true, "StdinOnce": true}),
        );
        let mut session = Session::open(socket).unwrap();
        session.send(&attach_request(&id, headers)).unwrap();
        assert_eq!(session.head().unwrap(), head);
        start(socket, &id);
        session.send("in\n").unwrap();
        session.half_close().unwrap();
        let (out, err) = demultiplex(&session.rest().unwrap()).unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("out\nin\n", "err\n"));
        remove(socket, &id);
    }
}

fn attach_may_be_a_connections_second_request(socket: &Path) {
    let id = create(socket, &json!({"Cmd": ["echo", "out"]}));
    let mut session = Session::open(socket).unwrap();
    session.send("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
    assert!(session.head().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(session.bytes(2).unwrap(), b"OK");
    session.send(&attach_request(&id, "")).unwrap();
    assert!(session.head().unwrap().ends_with("raw-stream\r\n\r\n"));
    start(socket, &id);
    assert_eq!(demultiplex(&session.rest().unwrap()).unwrap().0, "out\n");
    remove(socket, &id);
}

fn a_terminal_is_not_framed(socket: &Path) {
    let id = create(
        socket,
        &json!({"Cmd": ["sh", "-c", "stty size; read x; echo got $x"], "Tty": true, "OpenStdin": true}),
    );
    let mut session = Session::open(socket).unwrap();
    session.send(&attach_request(&id, "Connection: Upgrade\r\nUpgrade: tcp\r\n")).unwrap();
    let _ = session.head().unwrap();
    start(socket, &id);
    let _ = ok(socket, "POST", &format!("/containers/{id}/resize?h=30&w=90"), None);
    session.send("typed\r").unwrap();
    let text = String::from_utf8(session.rest().unwrap()).unwrap();
    assert!(text.ends_with("got typed\r\n"), "{text:?}");
    remove(socket, &id);
}

fn heads_come_before_there_is_anything_to_tell(socket: &Path) {
    let id = create(socket, &json!({"Cmd": ["sh", "-c", "sleep 0.3; echo late; sleep 1; exit 7"]}));
    let open = |method: &str, target: &str| {
        let mut session = Session::open(socket).unwrap();
        let text =
            format!("{method} /v1.41{target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
        session.send(&text).unwrap();
        let head = session.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {head}");
        session
    };
    let mut events = open("GET", "/events?filters=%7B%22type%22%3A%7B%22volume%22%3Atrue%7D%7D");
    let mut waiting = open("POST", &format!("/containers/{id}/wait?condition=next-exit"));
    start(socket, &id);
    let mut logs = open("GET", &format!("/containers/{id}/logs?follow=1&stdout=1"));
    assert!(String::from_utf8_lossy(&logs.rest().unwrap()).contains("late\n"));
    let ended = String::from_utf8(waiting.rest().unwrap()).unwrap();
    assert!(ended.contains("\"StatusCode\":7"), "{ended}");
    let _ = ok(socket, "POST", "/volumes/create", Some(&json!({"Name": "told"})));
    let mut told = String::new();
    while !told.contains("\"Action\":\"create\"") {
        told.push(char::from(events.bytes(1).unwrap()[0]));
    }
    let _ = ok(socket, "DELETE", "/volumes/told", None);
    remove(socket, &id);
}

fn exec_has_its_own_input_and_exit_code(socket: &Path) {
    let id = create(socket, &json!({"Cmd": ["sleep", "60"]}));
    start(socket, &id);
    let wanted = json!({"Cmd": ["sh", "-c", "cat; echo err >&2; exit 5"], "AttachStdin": true,
        "AttachStdout": true, "AttachStderr": true});
    let exec = ok(socket, "POST", &format!("/containers/{id}/exec"), Some(&wanted));
    let exec = exec["Id"].as_str().unwrap();
    let mut session = Session::open(socket).unwrap();
    session
        .send(&format!(
            "POST /v1.41/exec/{exec}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n\
             Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .unwrap();
    let head = session.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
    assert!(head.contains("\r\nApi-Version: "), "{head}");
    session.send("in\n").unwrap();
    session.half_close().unwrap();
    let (out, err) = demultiplex(&session.rest().unwrap()).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("in\n", "err\n"));
    exec_ends_with(socket, exec, &[5]);
    remove(socket, &id);
}

fn what_cannot_run_is_told_in_the_stream(socket: &Path) {
    let id = create(socket, &json!({"Cmd": ["sleep", "60"]}));
    start(socket, &id);
    let wanted = json!({"Cmd": ["/no/such"], "AttachStdout": true, "AttachStderr": true});
    let exec = ok(socket, "POST", &format!("/containers/{id}/exec"), Some(&wanted));
    let exec = exec["Id"].as_str().unwrap();
    let answer = call(socket, "POST", &format!("/exec/{exec}/start"), Some(&json!({})));
    assert_eq!(answer.status, 200);
    let (out, _) = demultiplex(&answer.body).unwrap();
    assert!(out.starts_with("OCI runtime exec failed: "), "{out}");
    assert!(out.ends_with("\r\n"), "{out}");
    // Debian's dockerd does not recognise the words of its runc, and says 126.
    exec_ends_with(socket, exec, &[127, 126]);
    remove(socket, &id);
}

fn exec_ends_with(socket: &Path, exec: &str, codes: &[i64]) {
    wait::until("the exec's exit code", Duration::from_secs(60), || {
        let state = ok(socket, "GET", &format!("/exec/{exec}/json"), None);
        let code = state["ExitCode"].as_i64();
        if code.is_some_and(|code| codes.contains(&code)) { Ok(()) } else { Err(state.to_string()) }
    });
}

fn attach_request(id: &str, headers: &str) -> String {
    format!(
        "POST /v1.41/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n\
         Host: d\r\n{headers}\r\n"
    )
}

fn create(socket: &Path, config: &Value) -> String {
    let mut config = config.clone();
    config["Image"] = json!("busybox");
    let created = ok(socket, "POST", "/containers/create", Some(&config));
    created["Id"].as_str().unwrap().to_owned()
}

fn start(socket: &Path, id: &str) {
    let _ = ok(socket, "POST", &format!("/containers/{id}/start"), None);
}

fn remove(socket: &Path, id: &str) {
    let _ = ok(socket, "DELETE", &format!("/containers/{id}?force=1&v=1"), None);
}

/// Calls at 1.41, which both daemons speak, and expects success.
fn ok(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> Value {
    let answer = call(socket, method, path, body);
    let text = String::from_utf8_lossy(&answer.body);
    assert!((200..300).contains(&answer.status), "{method} {path}: {} {text}", answer.status);
    serde_json::from_str(&text).unwrap_or_default()
}

fn call(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let target = format!("/v1.41{path}");
    let body = body.map(ToString::to_string).unwrap_or_default();
    let headers: &[_] = if body.is_empty() { &[] } else { &[("Content-Type", "application/json")] };
    let call = Call { method, target: &target, headers, body: body.as_bytes() };
    wire::exchange(socket, &call).unwrap()
}
