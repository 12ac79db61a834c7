//! All checks and tests, in the order in which a mistake is cheapest to find.

use crate::workspace::{cargo, run};
use crate::{binaries, layers, tidy};
use anyhow::Result;
use std::time::Instant;

/// Packages whose tests start daemons and containers; they run one after another.
const END_TO_END: [&str; 9] = [
    "tests-harness",
    "tests-engine",
    "tests-cli",
    "tests-api",
    "tests-oci",
    "tests-network",
    "tests-faults",
    "tests-limits",
    "tests-vm",
];

/// Runs one step and tells how long it took.
fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("=== {name}");
    let start = Instant::now();
    work()?;
    println!("=== {name}: {} s", start.elapsed().as_secs());
    Ok(())
}

/// Runs everything; stops at the first failure.
pub(crate) fn check_everything() -> Result<()> {
    step("format", || run_cargo(&["fmt", "--all", "--check"]))?;
    step("layers", layers::check)?;
    step("tidy", tidy::check)?;
    step("lints", || {
        run_cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    })?;
    step("unit tests", || {
        let mut arguments = vec!["test", "--workspace", "--locked", "--no-fail-fast"];
        for package in END_TO_END {
            arguments.extend(["--exclude", package]);
        }
        // Many of them make containers, links and mounts: two cores do one at a time.
        arguments.extend(["--", "--test-threads", "1"]);
        run_cargo(&arguments)
    })?;
    step("programs", binaries::build)?;
    step("end to end", || {
        let mut arguments = vec!["test", "--locked", "--no-fail-fast"];
        for package in END_TO_END {
            arguments.extend(["-p", package]);
        }
        arguments.extend(["--", "--test-threads", "1"]);
        run_cargo(&arguments)
    })
}

fn run_cargo(arguments: &[&str]) -> Result<()> {
    run(cargo(arguments))
}
