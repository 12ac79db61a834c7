//! The client against a daemon that says what a test wants.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use client_http::{Client, Error, Launcher, parse_host};
use contracts_engine_api::ApiVersion;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What is sent for a request.
struct Answer {
    bytes: Vec<u8>,
    close: bool,
}

fn keep(text: &str) -> Answer {
    Answer { bytes: text.into(), close: false }
}

fn close(text: &str) -> Answer {
    Answer { bytes: text.into(), close: true }
}

/// Requests as they came: the connection's number and the request line.
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

struct FakeDaemon {
    folder: tempfile::TempDir,
    seen: Seen,
}

impl FakeDaemon {
    fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let seen = Seen::default();
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                let Ok(mut connection) = connection else { return };
                while let Some(line) = read_request(&mut connection) {
                    noted.lock().unwrap().push((number, line.clone()));
                    let answer = answer(&line);
                    if connection.write_all(&answer.bytes).is_err() || answer.close {
                        break;
                    }
                }
            }
        });
        Self { folder, seen }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn client(&self) -> Client {
        client(&self.socket(), None, None)
    }

    /// The requests, as `connection: line`.
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(n, line)| format!("{n}: {line}")).collect()
    }
}

fn client(
    socket: &std::path::Path,
    fixed: Option<ApiVersion>,
    launcher: Option<Box<dyn Launcher>>,
) -> Client {
    let endpoint = parse_host(&format!("unix://{}", socket.display()), None).unwrap();
    Client::new(endpoint, fixed, Vec::new(), launcher)
}

/// A request's first line, its body passed over; `None` at the end of the connection.
fn read_request(connection: &mut UnixStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if connection.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    connection.read_exact(&mut body).ok()?;
    head.lines().next().map(str::to_owned)
}

fn text(client: &Client, path: &str) -> Result<String, Error> {
    client.get(path).send()?.bytes().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn bodies_of_every_framing_are_whole_and_give_their_connection_back() {
    let daemon = FakeDaemon::start(|line| {
        if line.contains("/length") {
            keep("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        } else if line.contains("/chunks") {
            keep(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n\
                 0\r\nTrailer: t\r\n\r\n",
            )
        } else if line.contains("/nothing") {
            keep("HTTP/1.1 204 No Content\r\n\r\n")
        } else {
            close("HTTP/1.1 200 OK\r\n\r\nhello")
        }
    });
    let client = daemon.client();
    for path in ["/length", "/chunks", "/nothing", "/to-the-end"] {
        let wanted = if path == "/nothing" { "" } else { "hello" };
        assert_eq!(text(&client, path).unwrap(), wanted, "{path}");
    }
    assert_eq!(text(&client, "/length").unwrap(), "hello");
    let connections: Vec<String> = daemon.seen().iter().map(|seen| seen[..1].to_owned()).collect();
    assert_eq!(connections, ["0", "0", "0", "0", "1"], "{:?}", daemon.seen());
}

#[test]
fn a_cut_answer_is_an_error_and_never_a_short_one() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: some\r\n\r\nhello",
        "HTTP/1.1 200 O",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "",
    ] {
        let daemon = FakeDaemon::start(move |_| close(cut));
        assert!(text(&daemon.client(), "/x").is_err(), "{cut:?}");
    }
}

#[test]
fn a_head_without_end_is_refused() {
    let line = format!("X: {}\r\n", "a".repeat(1000));
    let head = format!("HTTP/1.1 200 OK\r\n{}", line.repeat(100));
    let daemon = FakeDaemon::start(move |_| close(&head));
    assert!(matches!(text(&daemon.client(), "/x"), Err(Error::TooLong { .. })));
}

#[test]
fn an_idle_connection_that_the_daemon_has_closed_is_not_used_again() {
    let daemon = FakeDaemon::start(|_| close("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let client = daemon.client();
    // Sometimes it is seen to be closed, sometimes only once the next request has been sent.
    for _ in 0..200 {
        assert_eq!(text(&client, "/x").unwrap(), "ok");
    }
}

#[test]
fn an_older_daemon_is_spoken_to_at_its_version() {
    let daemon = FakeDaemon::start(|line| {
        if line.contains("/v1.41/") {
            keep("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        } else {
            keep("HTTP/1.1 400 Bad Request\r\nApi-Version: 1.41\r\nContent-Length: 4\r\n\r\n{\"\"}")
        }
    });
    let client = daemon.client();
    assert_eq!(text(&client, "/a").unwrap(), "ok");
    assert_eq!(text(&client, "/b").unwrap(), "ok");
    let newest = client.newest();
    let wanted = [
        format!("0: GET /v{newest}/a HTTP/1.1"),
        "0: GET /v1.41/a HTTP/1.1".to_owned(),
        "0: GET /v1.41/b HTTP/1.1".to_owned(),
    ];
    assert_eq!(daemon.seen(), wanted);
}

#[test]
fn a_refusal_is_not_repeated_where_the_version_was_no_reason() {
    let refusal = "HTTP/1.1 400 Bad Request\r\nApi-Version: 1.99\r\nContent-Length: 17\r\n\r\n\
                   {\"message\":\"no!\"}";
    let daemon = FakeDaemon::start(move |_| keep(refusal));
    let error = text(&daemon.client(), "/a").unwrap_err();
    assert_eq!(error.to_string(), "Error response from daemon: no!");
    assert_eq!(daemon.seen().len(), 1);
    // A version that was asked for is kept, whatever the daemon says.
    let refusal = refusal.replace("1.99", "1.20");
    let daemon = FakeDaemon::start(move |_| keep(&refusal));
    let fixed = client(&daemon.socket(), Some(ApiVersion::new(1, 30)), None);
    assert!(text(&fixed, "/a").is_err());
    assert_eq!(daemon.seen(), ["0: GET /v1.30/a HTTP/1.1"]);
}

#[test]
fn interim_answers_are_passed_over() {
    let daemon = FakeDaemon::start(|_| {
        keep("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    assert_eq!(text(&daemon.client(), "/x").unwrap(), "ok");
}

#[test]
fn a_connection_that_is_taken_over_loses_no_byte_and_can_be_half_closed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        read_request(&mut connection).unwrap();
        connection.write_all(b"HTTP/1.1 101 UPGRADED\r\n\r\nearly ").unwrap();
        let mut said = String::new();
        connection.read_to_string(&mut said).unwrap();
        connection.write_all(b"late").unwrap();
        said
    });
    let client = client(&socket, None, None);
    let (mut reading, mut writing) = client.post("/attach").hijack().unwrap().split().unwrap();
    writing.write_all(b"input").unwrap();
    writing.close_write().unwrap();
    let mut heard = String::new();
    reading.read_to_string(&mut heard).unwrap();
    assert_eq!((heard.as_str(), daemon.join().unwrap().as_str()), ("early late", "input"));
}

/// Starts a daemon that knows one answer.
struct Starter(PathBuf, Mutex<Option<std::thread::JoinHandle<()>>>);

impl Launcher for Starter {
    fn refresh(&self) {}

    fn launch(&self) -> Result<bool, String> {
        let listener = UnixListener::bind(&self.0).unwrap();
        let served = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            read_request(&mut connection).unwrap();
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        });
        assert!(self.1.lock().unwrap().replace(served).is_none(), "launched twice");
        Ok(true)
    }
}

#[test]
fn where_nothing_listens_the_launcher_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let starter = Starter(socket.clone(), Mutex::new(None));
    let client = client(&socket, None, Some(Box::new(starter)));
    assert_eq!(text(&client, "/x").unwrap(), "ok");
    std::fs::remove_file(&socket).unwrap();
    assert!(matches!(
        client.get("/y").send().and_then(client_http::Response::bytes),
        Err(Error::NotRunning { .. } | Error::Broken { .. })
    ));
}

#[test]
fn a_daemon_that_dies_with_the_first_request_is_followed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let dying = UnixListener::bind(&socket).unwrap();
    let path = socket.clone();
    let death = std::thread::spawn(move || {
        let (connection, _) = dying.accept().unwrap();
        std::fs::remove_file(path).unwrap();
        drop(dying);
        drop(connection);
    });
    let starter = Starter(socket.clone(), Mutex::new(None));
    let client = client(&socket, None, Some(Box::new(starter)));
    assert_eq!(text(&client, "/x").unwrap(), "ok");
    death.join().unwrap();
}
