//! Input that is too large, or never ends, is refused and hinders nobody.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tests_harness::Daemon;

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set a limit");
    stream
}

/// The first line of the answer; empty when the connection was closed.
fn status(mut stream: UnixStream) -> String {
    let mut answer = [0; 256];
    let count = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..count]).lines().next().unwrap_or_default().to_owned()
}

/// The answer's first line to one request whose head is `head` and whose body is `body`.
fn answer(daemon: &Daemon, head: &str, body: &[u8]) -> String {
    let mut stream = connect(daemon);
    // A refusal may come, and the connection go, before all is written.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    status(stream)
}

#[test]
fn a_head_has_the_promised_room_and_no_more() {
    let daemon = Daemon::start(&[]);
    let head = |headers: usize, value: usize| {
        let line = |number| format!("X-Filler-{number}: {}\r\n", "a".repeat(value));
        let lines: String = (0..headers).map(line).collect();
        format!("GET /_ping HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
    };
    for (headers, value, wanted) in
        [(120, 10, " 200 "), (140, 10, " 431 "), (60, 4_200, " 200 "), (66, 4_200, " 431 ")]
    {
        let status = answer(&daemon, &head(headers, value), b"");
        assert!(status.contains(wanted), "{headers} headers of {value} bytes: {status:?}");
    }
}

#[test]
fn headers_without_end_are_refused() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(&daemon);
    let _ = stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n");
    let line = format!("X-Filler: {}\r\n", "a".repeat(8_000));
    for _ in 0..1_000 {
        if stream.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    let status = status(stream);
    assert!(status.is_empty() || status.contains(" 431 "), "{status}");
    let _ = daemon.gantry_ok(&["version"]);
}

#[test]
fn a_body_has_the_promised_room_and_no_more() {
    /// What LIMITS.md says.
    const ROOM: usize = 8 << 20;
    let daemon = Daemon::start(&[]);
    for length in [ROOM, ROOM + 1] {
        let head = format!(
            "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        let mut body = br#"{"Image":"nothing"}"#.to_vec();
        body.resize(length, b' ');
        let status = answer(&daemon, &head, &body);
        // What is read is answered: there is no such image. What is refused may be so without words.
        let refused = status.is_empty() || status.contains(" 413 ");
        assert_eq!(refused, length > ROOM, "{length} bytes: {status:?}");
        assert!(refused || status.contains(" 404 "), "{length} bytes: {status:?}");
    }
}

#[test]
fn a_body_without_end_is_refused() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(&daemon);
    let head = "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..4_096 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let status = status(stream);
    assert!(status.is_empty() || status.contains(" 4"), "{status}");
    let _ = daemon.gantry_ok(&["version"]);
}

#[test]
fn requests_that_stall_hinder_nobody() {
    let daemon = Daemon::start(&[]);
    let stalled: Vec<UnixStream> = (0..200)
        .map(|_| {
            let mut stream = connect(&daemon);
            stream.write_all(b"GET /_ping HTTP/1.1\r\nHo").unwrap();
            stream
        })
        .collect();
    let _ = daemon.gantry_ok(&["version"]);
    drop(stalled);
}
