//! The client program: reads argv, environment and configuration, runs a command, exits.
//!
//! Called as `docker` it speaks of itself as `docker`.

#![forbid(unsafe_code)]

mod connection;
mod launch;

use client_commands::arguments::{Arguments, FlagError};
use client_commands::command::{Called, by_the_letter, find};
use client_commands::config_file::ConfigFile;
use client_commands::failure::Failure;
use client_commands::root::{GLOBAL_FLAGS, ROOT};
use client_commands::session::Session;
use client_commands::{help, instant, output, terminal};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let program = program_name(words.first());
    if words.get(1).is_some_and(|word| word == launch::BECOME_DAEMON) {
        return launch::become_daemon(&words[2..]);
    }
    if !words.is_empty() {
        words.remove(0);
    }
    let words: Vec<String> =
        words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let outcome = run(&program, &words);
    terminal::restore();
    let code = match outcome {
        Ok(()) => 0,
        Err(failure) => tell(&failure),
    };
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}

/// Says what is to be said, and gives the exit code.
fn tell(failure: &Failure) -> i32 {
    /// What a shell reports of a program that SIGPIPE ended, as it ends Docker's client.
    const READER_GONE: i32 = 141;
    match failure {
        Failure::Help(text) => {
            let _ = output::print(text);
        }
        Failure::Stdio(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            return READER_GONE;
        }
        failure => failure.told().iter().for_each(output::note),
    }
    failure.code()
}

/// `docker` when called by that name, else `gantry`.
fn program_name(called: Option<&OsString>) -> String {
    let name = called.map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name == "docker") { "docker" } else { "gantry" }.to_owned()
}

fn run(program: &str, words: &[String]) -> Result<(), Failure> {
    let root = Called { command: &ROOT, path: program.to_owned() };
    let global = Arguments::read(&[GLOBAL_FLAGS], words, false).map_err(|error| match error {
        FlagError::Help { by_letter } => {
            let help = help::of_program(program, &ROOT, GLOBAL_FLAGS);
            Failure::Help(if by_letter { by_the_letter(&help) } else { help })
        }
        FlagError::Wrong(text) => wrong_global_flag(program, &text),
    })?;
    const LEVELS: [&str; 7] = ["trace", "debug", "info", "warn", "error", "fatal", "panic"];
    let level = global.text("log-level");
    if !LEVELS.contains(&level.to_lowercase().as_str()) {
        return Err(Failure::text(format!("Unable to parse logging level: {level}")));
    }
    if global.on("version") {
        return output::line(format!("Gantry version {}", env!("CARGO_PKG_VERSION")));
    }
    let mut words = &global.operands[..];
    let asks_for_help = words.first().is_some_and(|word| word == "help");
    if asks_for_help {
        words = &words[1..];
    }
    let (called, rest) = find(program, root.command, words)
        .map_err(|failure| if asks_for_help { unknown_topic(words) } else { failure })?;
    if asks_for_help && !rest.is_empty() {
        return Err(unknown_topic(words));
    }
    if called.path == program {
        return Err(program_help(program));
    }
    if asks_for_help || called.command.run.is_none() {
        // A command of commands without one: its flags are read only for `--help`.
        let help = help::of_command(&called);
        if asks_for_help {
            return Err(Failure::Help(help));
        }
        called.read(rest)?;
        return Err(Failure::Incomplete(help));
    }
    // Help and wrong flags need no daemon, nor a sound configuration.
    let arguments = called.read(rest)?;
    let session = session(program, &global, called.command.offline)?;
    called.execute(&session, &arguments)
}

fn unknown_topic(words: &[String]) -> Failure {
    Failure::text(format!("unknown help topic: {}", words.join(" ")))
}

fn program_help(program: &str) -> Failure {
    Failure::Help(help::of_program(program, &ROOT, GLOBAL_FLAGS))
}

fn wrong_global_flag(program: &str, text: &str) -> Failure {
    Failure::message(
        125,
        format!(
            "{text}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' for more information"
        ),
    )
}

fn session(program: &str, global: &Arguments, offline: bool) -> Result<Session, Failure> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    if let Some(zone) = environment.get("TZ") {
        instant::use_zone(zone);
    }
    let config_directory = config_directory(global, &environment);
    let config = ConfigFile::load(&config_directory).unwrap_or_else(|warning| {
        output::note(format!("WARNING: {warning}"));
        ConfigFile::default()
    });
    let surroundings = connection::Surroundings {
        global,
        environment: &environment,
        config: &config,
        config_directory: &config_directory,
        offline,
    };
    let connection = connection::resolve(&surroundings).map_err(Failure::text)?;
    Ok(Session {
        program: program.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        client: Arc::new(connection.client),
        context: connection.context,
        default_host: connection.default_host,
        debug: global.on("debug"),
        environment,
        config,
        config_directory,
        root: &ROOT,
    })
}

fn config_directory(global: &Arguments, environment: &BTreeMap<String, String>) -> PathBuf {
    let given = global.text_if_given("config").map(PathBuf::from);
    given
        .or_else(|| {
            environment.get("DOCKER_CONFIG").filter(|text| !text.is_empty()).map(PathBuf::from)
        })
        .unwrap_or_else(|| {
            let home = environment.get("HOME").map_or("/", String::as_str);
            Path::new(home).join(".docker")
        })
}
