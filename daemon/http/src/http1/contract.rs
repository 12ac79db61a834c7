//! The protocol on raw sockets, byte for byte, with routes made for the purpose.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::reply::{Hijack, Outcome, Reply};
use crate::request::Request;
use crate::site::{Intake, Route, Site};
use bytes::{Bytes, BytesMut};
use contracts_engine_api::ApiVersion;
use futures_util::{FutureExt as _, stream};
use http::HeaderValue;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What the test's routes share: told when a slow handler may go on, and that it has.
#[derive(Default)]
pub(crate) struct Bench {
    go_on: Notify,
    done: Notify,
}

async fn echo(_: Arc<Bench>, request: Request) -> Outcome {
    Reply::json(&request, &String::from_utf8_lossy(&request.body))
}

async fn fail(_: Arc<Bench>, _: Request) -> Outcome {
    Err(Failure::invalid("no such luck"))
}

async fn die(_: Arc<Bench>, _: Request) -> Outcome {
    panic!("on purpose")
}

async fn slow(bench: Arc<Bench>, _: Request) -> Outcome {
    bench.go_on.notified().await;
    bench.done.notify_one();
    Reply::nothing()
}

async fn count(_: Arc<Bench>, _: Request) -> Outcome {
    Reply::stream("text/plain", stream::iter([Bytes::from("one"), Bytes::from("two")]))
}

/// Answers what was sent, on the hijacked connection.
async fn mirror(_: Arc<Bench>, request: Request) -> Outcome {
    let upgrade = request.head.headers.contains_key("upgrade");
    let line = if upgrade { "HTTP/1.1 101 UPGRADED\r\n" } else { "HTTP/1.1 200 OK\r\n" };
    Ok(Reply::Hijack(Hijack {
        head: line.to_owned(),
        common_headers: false,
        take: Box::new(|mut connection, buffered| {
            async move {
                connection.write_all(&buffered).await.unwrap();
                let mut rest = Vec::new();
                connection.read_to_end(&mut rest).await.unwrap();
                connection.write_all(&rest).await.unwrap();
                connection.write_all(b"|end").await.unwrap();
            }
            .boxed()
        }),
    }))
}

pub(crate) fn site() -> Arc<Site<Bench>> {
    let route = |key, intake, handle| Route { key, intake, handle };
    Arc::new(Site {
        context: Arc::new(Bench::default()),
        routes: vec![
            route("POST /echo", Intake::Whole, |c, r| Box::pin(echo(c, r))),
            route("GET /echo", Intake::Whole, |c, r| Box::pin(echo(c, r))),
            route("HEAD /echo", Intake::Whole, |c, r| Box::pin(echo(c, r))),
            route("GET /fail", Intake::Whole, |c, r| Box::pin(fail(c, r))),
            route("GET /die", Intake::Whole, |c, r| Box::pin(die(c, r))),
            route("GET /slow", Intake::Whole, |c, r| Box::pin(slow(c, r))),
            route("GET /count", Intake::Whole, |c, r| Box::pin(count(c, r))),
            route("POST /upload", Intake::Unread, |c, r| Box::pin(fail(c, r))),
            route("POST /mirror/{}/attach", Intake::Hijack, |c, r| Box::pin(mirror(c, r))),
        ],
        oldest: ApiVersion::oldest(),
        server: HeaderValue::from_static("Docker/test (linux)"),
        experimental: false,
    })
}

fn connect(site: &Arc<Site<Bench>>) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (site, shutdown) = (Arc::clone(site), CancellationToken::new());
    tokio::spawn(super::serve(site, Connection::Unix(theirs), BytesMut::new(), shutdown));
    ours
}

/// Sends bytes, says that no more will come, and reads to the end.
async fn exchange(bytes: &str) -> String {
    let mut client = connect(&site());
    client.write_all(bytes.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    // The one line that changes from second to second.
    answer
        .lines()
        .filter(|line| !line.starts_with("Date: "))
        .fold(String::new(), |all, line| all + line + "\n")
}

const COMMON: &str = "Api-Version: 1.56\n";

#[tokio::test]
async fn an_answer_has_dockers_headers_and_ends_with_a_newline() {
    let answer = exchange("GET /v1.44/echo HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(
        answer,
        format!(
            "HTTP/1.1 200 OK\n{COMMON}Content-Type: application/json\nDocker-Experimental: \
             false\nOstype: linux\nServer: Docker/test (linux)\nContent-Length: 3\n\n\"\"\n"
        )
    );
}

#[tokio::test]
async fn an_error_is_json_with_one_field() {
    let answer = exchange("GET /fail HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\n"), "{answer}");
    assert!(answer.ends_with("\n\n{\"message\":\"no such luck\"}\n"), "{answer}");
}

#[tokio::test]
async fn an_unknown_page_carries_none_of_the_apis_headers() {
    for request in ["GET /nothing", "PUT /echo", "GET /echo/", "GET /vx/echo"] {
        let answer = exchange(&format!("{request} HTTP/1.1\r\nHost: d\r\n\r\n")).await;
        assert_eq!(
            answer,
            "HTTP/1.1 404 Not Found\nContent-Type: application/json\nContent-Length: 29\n\n\
             {\"message\":\"page not found\"}\n"
        );
    }
}

#[tokio::test]
async fn versions_out_of_range_are_refused_in_the_words_that_clients_parse() {
    let old = exchange("GET /v1.4/echo HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert!(old.contains("Content-Type: text/plain; charset=utf-8\n"), "{old}");
    assert!(old.contains("X-Content-Type-Options: nosniff\n"), "{old}");
    assert!(!old.contains("Docker-Experimental"), "{old}");
    assert!(
        old.ends_with(
            "\n\nclient version 1.4 is too old. Minimum supported API version is 1.24, please \
             upgrade your client to a newer version\n"
        ),
        "{old}"
    );
    let new = exchange("GET /v1.99/echo HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let text = "client version 1.99 is too new. Maximum supported API version is 1.56";
    assert!(new.ends_with(&format!("\n\n{{\"message\":\"{text}\"}}\n")), "{new}");
    assert!(exchange("GET /v1.40.1/echo HTTP/1.1\r\nHost: d\r\n\r\n").await.contains(" 200 OK"));
}

#[tokio::test]
async fn bodies_come_by_length_and_in_chunks() {
    let plain = "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello";
    assert!(exchange(plain).await.ends_with("\n\n\"hello\"\n"));
    let chunked = "POST /echo HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: x\r\n\r\n";
    assert!(exchange(chunked).await.ends_with("\n\n\"hello\"\n"));
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let request = "GET /echo HTTP/1.1\r\nHost: d\r\n\r\n";
    let answers = exchange(&request.repeat(3)).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
    let close = "GET /echo HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
    let answers = exchange(&(close.to_owned() + request)).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1);
    assert!(answers.contains("Connection: close\n"));
}

#[tokio::test]
async fn head_has_the_length_of_a_body_that_does_not_come() {
    let answer = exchange("HEAD /echo HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert!(answer.ends_with("Content-Length: 3\n\n"), "{answer}");
}

#[tokio::test]
async fn streams_come_in_chunks_and_to_old_clients_until_the_end() {
    // A client that says at once that it will send no more is one that has left.
    let mut client = connect(&site());
    let request = "GET /count HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("Transfer-Encoding: chunked\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), "{answer}");
    let mut client = connect(&site());
    client.write_all(b"GET /count HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nonetwo"), "{answer}");
}

#[tokio::test]
async fn a_hijack_keeps_what_was_sent_behind_the_head_and_survives_a_half_close() {
    let upgrade = "POST /mirror/a/b/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n\
                   Upgrade: tcp\r\nContent-Length: 2\r\n\r\n{}early";
    assert_eq!(exchange(upgrade).await, "HTTP/1.1 101 UPGRADED\n\nearly|end\n");
    let plain = "POST /mirror/x/attach HTTP/1.1\r\nHost: d\r\n\r\nearly";
    assert_eq!(exchange(plain).await, "HTTP/1.1 200 OK\n\nearly|end\n");
}

#[tokio::test]
async fn a_hijack_may_be_the_second_request() {
    let requests = "GET /echo HTTP/1.1\r\nHost: d\r\n\r\n\
                    POST /mirror/x/attach HTTP/1.1\r\nHost: d\r\n\r\ninput";
    let answers = exchange(requests).await;
    assert!(answers.ends_with("\"\"\nHTTP/1.1 200 OK\n\ninput|end\n"), "{answers}");
}

#[tokio::test]
async fn a_handler_goes_on_when_its_client_is_gone() {
    let site = site();
    let mut client = connect(&site);
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    drop(client);
    site.context.go_on.notify_one();
    site.context.done.notified().await;
}

#[tokio::test]
async fn a_handler_that_dies_is_an_answer_and_not_a_cut_connection() {
    let request = "GET /die HTTP/1.1\r\nHost: d\r\n\r\nGET /echo HTTP/1.1\r\nHost: d\r\n\r\n";
    let answers = exchange(request).await;
    assert!(answers.starts_with("HTTP/1.1 500 Internal Server Error\n"), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 OK\n"), "{answers}");
}

#[tokio::test]
async fn an_upload_that_is_refused_is_read_away() {
    let mut client = connect(&site());
    let head = "POST /upload HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let send = async {
        let piece = [b'x'; 4096];
        for _ in 0..256 {
            writing.write_all(b"1000\r\n").await.unwrap();
            writing.write_all(&piece).await.unwrap();
            writing.write_all(b"\r\n").await.unwrap();
        }
        writing.shutdown().await.unwrap();
    };
    let mut answer = String::new();
    let receive = reading.read_to_string(&mut answer);
    let ((), received) = tokio::join!(send, receive);
    received.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_no_request_is_answered_as_gos_server_does() {
    let answer = exchange("nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\n"), "{answer}");
    assert!(answer.ends_with("Connection: close\n\n400 Bad Request\n"), "{answer}");
}
