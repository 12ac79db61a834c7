//! Credential helpers: programs named `docker-credential-NAME` that keep secrets elsewhere
//! (docker/docker-credential-helpers). `get` takes a server's name on standard input and answers
//! with JSON; a refusal is an exit code with words on standard output.

use contracts_engine_api::auth::AuthConfig;
use serde::Deserialize;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

/// The longest answer that is read.
const MAX_ANSWER: u64 = 1024 * 1024;
/// What a helper says when it has nothing for a server.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user's name that says that the secret is an identity token.
const TOKEN: &str = "<token>";

/// A helper that did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    /// It could not be run.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It refused.
    #[error("{program}: {words}")]
    Refused {
        /// The program.
        program: String,
        /// Its words.
        words: String,
    },
    /// Its answer is not the protocol's.
    #[error("the answer of {program} is not understood")]
    Answer {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The program of the helper called `name`.
pub(super) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// Asks a helper for a server's credentials; `None` when it has none.
///
/// # Errors
///
/// When it cannot be run, refuses, or answers with something else.
pub(super) fn get(name: &str, server: &str) -> Result<Option<AuthConfig>, HelperError> {
    let program = program(name);
    let (succeeded, text) = exchange(&program, "get", server)
        .map_err(|source| HelperError::Run { program: program.clone(), source })?;
    if !succeeded {
        let words = text.trim().to_owned();
        return if words == NOT_FOUND {
            Ok(None)
        } else {
            Err(HelperError::Refused { program, words })
        };
    }
    let answer: Answer =
        serde_json::from_str(&text).map_err(|source| HelperError::Answer { program, source })?;
    let mut found = AuthConfig { serveraddress: server.to_owned(), ..AuthConfig::default() };
    if answer.username == TOKEN {
        found.identitytoken = answer.secret;
    } else {
        found.username = answer.username;
        found.password = answer.secret;
    }
    Ok(Some(found))
}

/// Runs a helper once: whether it succeeded, and its standard output. What it says on standard
/// error is for the user.
fn exchange(program: &str, action: &str, input: &str) -> io::Result<(bool, String)> {
    let mut child =
        Command::new(program).arg(action).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input has its reasons, which its answer tells.
        let _ = stdin.write_all(input.as_bytes());
    }
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_ANSWER).read_to_string(&mut text)?;
    }
    Ok((child.wait()?.success(), text))
}
