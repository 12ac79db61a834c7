//! End-to-end tests: a container's life, told with our client and with the real ones.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests_harness::{Daemon, Registry, describe, docker_clients, program};

/// A daemon whose mirror holds debian, busybox and web.
pub struct Stage {
    /// Dropped first, with its leak check.
    pub daemon: Daemon,
    /// Where its images come from.
    pub registry: Registry,
}

impl Stage {
    /// Starts registry and daemon, and pulls `images`.
    #[must_use]
    pub fn with(images: &[&str]) -> Self {
        let registry = Registry::filled();
        let daemon = Daemon::start(&["--registry-mirror", &registry.mirror()]);
        let stage = Self { daemon, registry };
        for image in images {
            let _ = stage.daemon.gantry_ok(&["pull", "-q", image]);
        }
        stage
    }

    /// Ours and every real client.
    #[must_use]
    pub fn clients(&self) -> Vec<Client<'_>> {
        let mut paths = vec![program("gantry")];
        paths.extend(docker_clients());
        paths.into_iter().map(|path| Client { daemon: &self.daemon, path }).collect()
    }

    /// The first real client.
    #[must_use]
    pub fn real_client(&self) -> Client<'_> {
        Client { daemon: &self.daemon, path: docker_clients().swap_remove(0) }
    }
}

/// One client program on the stage's daemon.
pub struct Client<'a> {
    daemon: &'a Daemon,
    path: PathBuf,
}

impl Client<'_> {
    /// The program.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command, not yet started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.daemon.client_command(&self.path, arguments)
    }

    /// A shell line that runs this client with these arguments, for a terminal.
    #[must_use]
    pub fn line(&self, arguments: &str) -> String {
        format!("{} -H {} {arguments}", self.path.display(), self.daemon.host())
    }

    /// Runs a command to its end, whatever its status.
    ///
    /// # Panics
    /// When the client cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("start the client")
    }

    /// The trimmed standard output of a command that must succeed.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{} {arguments:?}: {}",
            self.path.display(),
            describe(&output)
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Status and standard error of a command that must fail.
    ///
    /// # Panics
    /// When it succeeds.
    #[must_use]
    pub fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(
            !output.status.success(),
            "{} {arguments:?}: {}",
            self.path.display(),
            describe(&output)
        );
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
