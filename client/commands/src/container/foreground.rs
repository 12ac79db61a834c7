//! What `run`, `start -a` and `attach` have in common: attaching, and waiting for the exit code.

use crate::attachment::Wiring;
use crate::config_file::ConfigFile;
use crate::detach_keys;
use crate::failure::Failure;
use crate::session::Session;
use client_http::{Error, Hijacked, Response};
use contracts_engine_api::container::WaitResponse;
use contracts_engine_api::decode;
use std::io::{BufRead, BufReader, Read};

/// Which streams of a container are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    /// What was said before the attachment.
    pub(super) logs: bool,
}

/// Attaches to a container.
pub(super) fn attach(
    session: &Session,
    id: &str,
    streams: Streams,
    keys: &str,
) -> Result<Hijacked, Error> {
    session
        .client
        .post(format!("/containers/{id}/attach"))
        .flag("stream", true)
        .flag("stdin", streams.stdin)
        .flag("stdout", streams.stdout)
        .flag("stderr", streams.stderr)
        .flag("logs", streams.logs)
        .query_if("detachKeys", (!keys.is_empty()).then_some(keys))
        .hijack()
}

/// The keys from the flag, else from the user's configuration, as text.
pub(super) fn keys_text<'a>(flag: &'a str, config: &'a ConfigFile) -> &'a str {
    if flag.is_empty() { &config.detach_keys } else { flag }
}

/// How to wire an attachment up.
pub(super) fn wiring(stdin: bool, tty: bool, keys: &str) -> Result<Wiring, Failure> {
    let detach_keys = detach_keys::parse(keys)
        .map_err(|error| Failure::text(format!("invalid detach keys ({keys}): {error}")))?;
    Ok(Wiring { stdin, tty, detach_keys })
}

/// A terminal was asked for, but standard input is something else.
pub(crate) fn check_terminal(stdin: bool, tty: bool) -> Result<(), Failure> {
    if stdin && tty && !crate::terminal::stdin_is_terminal() {
        return Err(Failure::text("the input device is not a TTY"));
    }
    Ok(())
}

/// A wait that the daemon has noted already: no exit can be missed from here on.
pub(super) struct Waiting<'c>(Response<'c>);

impl<'c> Waiting<'c> {
    /// Begins to wait. Daemons answer the head at once (moby since API 1.30).
    pub(super) fn begin(session: &'c Session, id: &str, condition: &str) -> Result<Self, Error> {
        session
            .client
            .post(format!("/containers/{id}/wait"))
            .query("condition", condition)
            .send()
            .map(Self)
    }

    /// The exit code.
    pub(super) fn finish(self) -> Result<i32, Failure> {
        /// Longer answers are not answers.
        const MAX: u64 = 64 * 1024;
        let mut line = Vec::new();
        BufReader::new(self.0.into_body().take(MAX)).read_until(b'\n', &mut line)?;
        if line.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::message(
                125,
                "the daemon ended the connection before the container did",
            ));
        }
        let answer: WaitResponse = decode::from_slice(&line)
            .map_err(|error| Failure::message(125, format!("unreadable exit code: {error}")))?;
        match answer.error {
            Some(error) => {
                let text = format!("Error waiting for container: {}", error.message);
                Err(Failure::message(125, text))
            }
            None => Ok(i32::try_from(answer.status_code).unwrap_or(125)),
        }
    }
}

/// Success for zero, the exit code for anything else.
pub(super) fn pass_code_on(code: i32) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::Code(code)) }
}
