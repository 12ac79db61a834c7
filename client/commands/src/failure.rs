//! How a command ends when it does not simply succeed.

use base_errors::Chain;
use client_http::Error;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The end of a command that did not simply succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Help was asked for; it goes to standard output, and that is no failure.
    #[error("{0}")]
    Help(String),
    /// A command of commands without one: its help goes to standard error.
    #[error("{0}")]
    Incomplete(String),
    /// Everything has been said: only the exit code is left.
    #[error("exit code {0}")]
    Code(i32),
    /// Something to say on standard error.
    #[error("{text}")]
    Message {
        /// The exit code.
        code: i32,
        /// What to say.
        text: String,
    },
    /// A request failed.
    #[error(transparent)]
    Request(#[from] Error),
    /// Output could not be written, or input not be read.
    #[error(transparent)]
    Stdio(#[from] std::io::Error),
}

impl Failure {
    /// A failure with something to say.
    #[must_use]
    pub fn message(code: i32, text: impl Into<String>) -> Self {
        Self::Message { code, text: text.into() }
    }

    /// A failure with something to say, and the exit code 1.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::message(1, text)
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Help(_) | Self::Incomplete(_) => 0,
            Self::Code(code) | Self::Message { code, .. } => *code,
            Self::Request(_) | Self::Stdio(_) => 1,
        }
    }

    /// What to say on standard error, with what to do about it where we know.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        match self {
            Self::Help(_) | Self::Code(_) => None,
            Self::Request(error) => Some(told(error)),
            Self::Incomplete(help) => Some(help.trim_end().to_owned()),
            other => Some(Chain(other).to_string()),
        }
    }
}

/// A failed request in words; the first line is Docker's.
#[must_use]
pub fn told(error: &Error) -> String {
    let mut text = Chain(error).to_string();
    if let Error::Permission { socket, .. } = error {
        let group = group_of(socket).unwrap_or_else(|| "GROUP".to_owned());
        let socket = socket.display();
        text.push_str(&format!(
            "\n\nThe socket {socket} is open to root and to the members of its group, {group}.\n\
             Run the command with sudo, or join the group with 'sudo usermod -aG {group} $USER' and log in again.\n\
             Whoever may use the socket can become root on this machine."
        ));
    }
    text
}

/// The name of the group that a file belongs to. Whoever may not open a socket can still see it.
fn group_of(path: &Path) -> Option<String> {
    let wanted = std::fs::metadata(path).ok()?.gid().to_string();
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then(|| name.to_owned())
    })
}
