//! A registry that misbehaves as it is told.

#![allow(dead_code, reason = "each test file uses a part of it")]

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

/// How an answer is changed.
pub(crate) enum Answer {
    /// As it should be.
    Right,
    /// Broken off after so many bytes.
    Cut(usize),
    /// Standing still after so many bytes, until the client goes.
    Stall(usize),
    /// With another body.
    Body(Vec<u8>),
    /// Something else altogether: status line, headers, body.
    Other(&'static str, Vec<(String, String)>, Vec<u8>),
}

type Judge = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The registry; it serves until the test ends.
pub(crate) struct FakeRegistry {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What it has: paths below `/v2/`, each with its media type.
pub(crate) type Objects = HashMap<String, (String, Vec<u8>)>;

impl FakeRegistry {
    pub(crate) fn start(
        objects: Objects,
        judge: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (objects, judge): (Arc<Objects>, Arc<Judge>) = (Arc::new(objects), Arc::new(judge));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (objects, judge) = (Arc::clone(&objects), Arc::clone(&judge));
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(&stream, &objects, &*judge, &seen));
            }
        });
        Self { address, asked }
    }

    /// The requests so far whose path holds `part`.
    pub(crate) fn asked_for(&self, part: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("no panic while it is held");
        asked.iter().filter(|one| one.path.contains(part)).cloned().collect()
    }
}

fn serve(stream: &TcpStream, objects: &Objects, judge: &Judge, seen: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read_request(&mut reader) {
        seen.lock().expect("no panic while it is held").push(asked.clone());
        let (head, body, after) = answer(&asked, objects, judge(&asked));
        let mut stream = stream;
        if stream.write_all(head.as_bytes()).is_err() || stream.write_all(&body).is_err() {
            return;
        }
        match after {
            After::Next => {}
            After::End => {
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            After::Stall => {
                // Until the client closes the connection.
                let _ = reader.read_line(&mut String::new());
                return;
            }
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => return Some(Asked { method, path, headers }),
        };
    }
}

/// What comes after an answer.
enum After {
    Next,
    End,
    Stall,
}

/// Head and body, and what comes after them.
fn answer(asked: &Asked, objects: &Objects, answer: Answer) -> (String, Vec<u8>, After) {
    let path = asked.path.split('?').next().unwrap_or_default();
    let found = path.strip_prefix("/v2/").and_then(|path| objects.get(path));
    let (media_type, data) = match (found, &answer) {
        (_, Answer::Other(status, headers, body)) => {
            let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            return (head + "\r\n", body.clone(), After::Next);
        }
        (None, _) => {
            let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#.to_vec();
            let length = if asked.method == "HEAD" { 0 } else { body.len() };
            let head = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {length}\r\n\r\n");
            return (head, if length == 0 { Vec::new() } else { body }, After::Next);
        }
        (Some((media_type, data)), _) => (media_type, data.clone()),
    };
    let digest = format!("sha256:{}", hex(&data));
    let start = asked
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap_or(0_usize);
    let data = match &answer {
        Answer::Body(other) => other.clone(),
        _ => data,
    };
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let body = data[start.min(data.len())..].to_vec();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ndocker-content-digest: {digest}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    match (asked.method.as_str(), answer) {
        ("HEAD", _) => (head, Vec::new(), After::Next),
        (_, Answer::Cut(length)) => (head, body[..length.min(body.len())].to_vec(), After::End),
        (_, Answer::Stall(length)) => (head, body[..length.min(body.len())].to_vec(), After::Stall),
        _ => (head, body, After::Next),
    }
}

pub(crate) fn hex(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An image of these uncompressed layers under `name:tag`, and its layers' digests.
pub(crate) fn image(name: &str, tag: &str, layers: &[Vec<u8>]) -> (Objects, Vec<String>) {
    let mut objects = Objects::new();
    let digests: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", hex(layer))).collect();
    let descriptor = |kind: &str, digest: &str, size: usize| serde_json::json!({"mediaType": kind, "digest": digest, "size": size});
    for (layer, digest) in layers.iter().zip(&digests) {
        let kind = "application/octet-stream".to_owned();
        objects.insert(format!("{name}/blobs/{digest}"), (kind, layer.clone()));
    }
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": digests},
    })
    .to_string()
    .into_bytes();
    let config_digest = format!("sha256:{}", hex(&config));
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config_digest, config.len()),
        "layers": layers.iter().zip(&digests).map(|(layer, digest)| {
            descriptor("application/vnd.oci.image.layer.v1.tar", digest, layer.len())
        }).collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes();
    objects.insert(
        format!("{name}/blobs/{config_digest}"),
        ("application/octet-stream".to_owned(), config),
    );
    for reference in [tag.to_owned(), format!("sha256:{}", hex(&manifest))] {
        objects
            .insert(format!("{name}/manifests/{reference}"), (kind.to_owned(), manifest.clone()));
    }
    (objects, digests)
}

/// A layer of one file.
pub(crate) fn layer(name: &str, data: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, data).expect("a layer");
    builder.into_inner().expect("a layer")
}
