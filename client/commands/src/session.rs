//! What a command has to work with: the daemon's client and the surroundings of the call.

use crate::command::Command;
use crate::config_file::ConfigFile;
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
