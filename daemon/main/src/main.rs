//! The daemon program: dockerd's place.
//!
//! It reads flags and `daemon.json`, takes the lock on its exec root, starts (or finds) its
//! supervisor, opens the engine, and serves the Engine API. SIGTERM ends it and nothing else:
//! containers go on under their shims, and the next daemon finds them. SIGHUP has it read
//! `daemon.json` again, SIGUSR1 log what it is doing.

#![forbid(unsafe_code)]

mod activation;
mod arguments;
mod configuration;
mod programs;
mod roots;
mod serve;
mod signals;
mod supervisor;

use arguments::Arguments;
use base_subscriber::Log;
use clap::{CommandFactory, FromArgMatches};
use configuration::Settings;
use roots::Roots;
use signals::Signals;
use std::process::ExitCode;

/// The event loop; the engine waits far more than it works.
const WORKERS: usize = 2;
/// Threads for what blocks: files, netlink.
const BLOCKING: usize = 16;

fn main() -> ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(words) = supervisor::is_launch(&words) {
        return supervisor::become_supervisor(words);
    }
    let matches = Arguments::command().get_matches_from(words);
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let settings = match Settings::settle(arguments, matches) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    if settings.arguments.validate {
        println!("configuration OK");
        return ExitCode::SUCCESS;
    }
    let level = settings.arguments.log_level();
    let log = base_subscriber::start("daemon", &["daemon", "gantryd"], level);
    if let Err(error) = activation::keep_from_children() {
        tracing::warn!(%error, "descriptors are passed on to the supervisor");
    }
    match run(settings, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "daemon stopped");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings, log: &Log) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_name("gantryd")
        .enable_all()
        .build()?;
    let (roots, result) = runtime.block_on(async {
        // First of all: from here on, no signal ends us without our knowing.
        let signals = Signals::catch()?;
        let roots = Roots::take(&settings.arguments)?;
        anyhow::Ok((roots, serve::serve(settings, signals, log).await))
    })?;
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    roots.leave(result.as_ref().ok().copied());
    result.map(drop)
}
