//! The daemon program: dockerd's place.
//!
//! It reads flags and `daemon.json`, takes the lock on its exec root, starts (or finds) its
//! supervisor, opens the engine, and serves the Engine API. SIGTERM ends it and nothing else:
//! containers go on under their shims, and the next daemon finds them.

#![forbid(unsafe_code)]

mod arguments;
mod configuration;
mod log;
mod roots;
mod serve;
mod supervisor;

use arguments::Arguments;
use clap::{CommandFactory, FromArgMatches};
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
    let settings = match configuration::settle(arguments, &matches) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("unable to configure the daemon: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    if settings.validate {
        println!("configuration OK");
        return ExitCode::SUCCESS;
    }
    log::start(settings.log_level());
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "daemon stopped");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Arguments) -> anyhow::Result<()> {
    let roots = roots::Roots::take(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_name("gantryd")
        .enable_all()
        .build()?;
    let end = runtime.block_on(serve::serve(settings, &roots))?;
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    roots.leave(end);
    Ok(())
}
