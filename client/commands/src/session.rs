//! What a command has to work with: the daemon's client and the surroundings of the call.

use crate::command::Command;
use crate::config_file::ConfigFile;
use crate::contexts::Contexts;
use client_http::Client;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// One call of the program.
#[derive(Debug)]
pub struct Session {
    /// The name by which the program was called: `gantry` or `docker`.
    pub program: String,
    /// This program's version.
    pub version: &'static str,
    /// The daemon.
    pub client: Arc<Client>,
    /// The context in use.
    pub context: String,
    /// The daemon's address where no context is named.
    pub default_host: String,
    /// The environment, for flags that copy from it.
    pub environment: BTreeMap<String, String>,
    /// The user's configuration.
    pub config: ConfigFile,
    /// The directory that it is in.
    pub config_directory: PathBuf,
    /// Whether `--debug` was given.
    pub debug: bool,
    /// All commands, for completion.
    pub root: &'static Command,
}

impl Session {
    /// The user's contexts.
    #[must_use]
    pub fn contexts(&self) -> Contexts {
        Contexts::below(&self.config_directory)
    }

    /// Whether the environment names a daemon, which overrides the user's context.
    pub(crate) fn names_host(&self) -> bool {
        self.environment.get("DOCKER_HOST").is_some_and(|host| !host.is_empty())
    }

    /// A session of tests, with a daemon that nothing can reach.
    #[cfg(test)]
    pub(crate) fn of_tests(environment: &[(&str, &str)]) -> Self {
        let endpoint = client_http::parse_host("unix:///nowhere", None).unwrap();
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            program: "gantry".into(),
            version: "0",
            client: Arc::new(Client::new(endpoint, None, Vec::new(), None)),
            context: "default".into(),
            default_host: "unix:///nowhere".into(),
            environment: environment.iter().map(text).collect(),
            config: ConfigFile::default(),
            config_directory: "/nowhere".into(),
            debug: false,
            root: &crate::root::ROOT,
        }
    }
}
