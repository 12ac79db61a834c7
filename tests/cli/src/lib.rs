//! End-to-end tests of the command line, and what they share.
//!
//! What the client says is compared with what Docker's client says: without a daemon against a
//! record ([`words`]), with one by running both on the same real dockerd.

#![forbid(unsafe_code)]

pub mod words;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Calls a client in a clean environment, as `docker`, with nothing on standard input.
///
/// # Panics
/// When the program cannot be started.
#[must_use]
pub fn call(program: &Path, host: &str, arguments: &[&str]) -> Outcome {
    let home = tempfile::tempdir().expect("temporary folder");
    call_at(program, home.path(), &[("DOCKER_HOST", host)], arguments)
}

/// As [`call`], at home somewhere and with other variables.
///
/// # Panics
/// When the program cannot be started.
#[must_use]
pub fn call_at(
    program: &Path,
    home: &Path,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Outcome {
    let output = Command::new(program)
        .arg0("docker")
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("start the client");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Our client.
#[must_use]
pub fn gantry() -> PathBuf {
    tests_harness::program("gantry")
}

/// The newest of Docker's own clients on this machine.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn docker() -> PathBuf {
    tests_harness::docker_clients().remove(0)
}

/// The major version of a client of Docker's: some words changed with 28.
#[must_use]
pub fn major_version(docker: &Path) -> u32 {
    let text = call(docker, "unix:///nowhere", &["--version"]).stdout;
    let number = text.trim_start_matches("Docker version ").split('.').next();
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
