//! Sending the scenario to a daemon, and keeping what it answers.

use crate::normal::{self, Depth};
use crate::scenario::{Body, Step};
use crate::wire::{self, Call};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a daemon answered to the scenario at one API version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Which daemon it was.
    pub daemon: String,
    /// Answers by the name of their step, in order.
    pub answers: Vec<Recorded>,
}

/// One answer, with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The step.
    pub step: String,
    /// The status.
    pub status: u16,
    /// The headers that mean something, by name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

/// Headers that belong to the transport.
const TRANSPORT: [&str; 4] = ["Connection", "Content-Length", "Date", "Transfer-Encoding"];

impl Recording {
    /// Sends every step to a daemon, which reaches a registry at this address.
    ///
    /// # Errors
    /// The daemon does not answer, or a value that later steps need is not in an answer.
    pub fn take(
        daemon: &str,
        socket: &Path,
        registry: &str,
        version: &str,
        steps: &[Step],
    ) -> Result<Self> {
        let mut kept = BTreeMap::from([("since", now()), ("registry", registry.to_owned())]);
        let mut answers = Vec::new();
        for step in steps {
            kept.insert("now", now());
            let answer = send(socket, version, step, &kept)
                .with_context(|| format!("{version}: {}", step.name))?;
            if let Some((name, pointer)) = step.keep {
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let value = body.pointer(pointer).and_then(Value::as_str).unwrap_or("not-there");
                kept.insert(name, value.to_owned());
            }
            answers.push(recorded(step, &answer));
        }
        Ok(Self { daemon: daemon.to_owned(), answers })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// It is not there, or not a record.
    pub fn load(version: &str) -> Result<Self> {
        let path = place(version);
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let mut recording: Self =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        for answer in &mut recording.answers {
            answer.body = normal::in_order(answer.body.take());
        }
        Ok(recording)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn store(&self, version: &str) -> Result<()> {
        // An answer a line: small, and a change of one shows as one.
        let lines: Result<Vec<String>, _> =
            self.answers.iter().map(serde_json::to_string).collect();
        let text = format!(
            "{{\"daemon\":{},\"answers\":[\n{}\n]}}\n",
            serde_json::to_string(&self.daemon)?,
            lines?.join(",\n")
        );
        let path = place(version);
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

fn place(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded").join(format!("{version}.json"))
}

/// The clock, as `since` and `until` take it.
fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

fn send(
    socket: &Path,
    version: &str,
    step: &Step,
    kept: &BTreeMap<&str, String>,
) -> Result<wire::Answer> {
    let target = match step.path.strip_prefix('!') {
        Some(path) => path.to_owned(),
        None => format!("/v{version}{}", step.path),
    };
    let target = kept
        .iter()
        .fold(target, |target, (name, value)| target.replace(&format!("{{{name}}}"), value));
    let mut headers = step.headers.to_vec();
    let body = match &step.body {
        Body::Empty => Vec::new(),
        Body::Text(text) => text.as_bytes().to_vec(),
        Body::Json(value) => {
            headers.push(("Content-Type", "application/json"));
            serde_json::to_vec(value)?
        }
    };
    let call = Call { method: step.method, target: &target, headers: &headers, body: &body };
    wire::exchange(socket, &call)
}

fn recorded(step: &Step, answer: &wire::Answer) -> Recorded {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !TRANSPORT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), normal::placeholders(value)))
        .collect();
    let depth = if answer.status < 400 { step.depth } else { Depth::Values };
    let body = normal::body(&answer.body, depth);
    Recorded { step: step.name.to_owned(), status: answer.status, headers, body }
}
