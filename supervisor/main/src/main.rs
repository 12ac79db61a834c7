//! The supervisor program: containerd's place.
//!
//! It reads its arguments, takes the lock on its state directory, opens its stores, adopts the
//! tasks that an earlier supervisor left running, and serves. SIGTERM ends it and nothing else:
//! containers go on, and the next supervisor finds them.

#![forbid(unsafe_code)]

mod arguments;
mod favor_dynmods;
mod lock;
mod serve;

use clap::Parser;
use std::process::ExitCode;

/// gRPC, shims and events need little; what blocks has threads of its own.
const WORKERS: usize = 2;
/// Threads for what blocks: extraction, digests, directories.
const BLOCKING: usize = 16;

fn main() -> ExitCode {
    // A pull has buffers and threads that are not needed after it.
    kernel_sys::memory::give_back_freed();
    let arguments = arguments::Arguments::parse();
    base_subscriber::start("supervisor", &["supervisor", "gantry"], arguments.log_level.into());
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "supervisor stopped");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &arguments::Arguments) -> anyhow::Result<()> {
    if arguments.config.is_some() {
        anyhow::bail!("--config is not supported: what can be set, flags set");
    }
    let lock = lock::Lock::take(&arguments.state)?;
    let stores = serve::Stores::open(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_name("supervisor")
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve::serve(arguments, stores));
    // Calls that are still under way belong to clients that were told to come back.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    drop(lock);
    result
}
