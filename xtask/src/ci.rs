//! All checks and tests, in the order in which a mistake is cheapest to find.

use crate::workspace::{cargo, run};
use crate::{binaries, layers, suite, syscalls, tidy};
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

const ONE_AT_A_TIME: [&str; 2] = ["--test-threads", "1"];

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
    step("syscalls", syscalls::check)?;
    step("lints", || {
        run_cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    })?;
    let mut unit = vec!["test", "--workspace", "--locked", "--no-fail-fast"];
    for package in END_TO_END {
        unit.extend(["--exclude", package]);
    }
    step("unit tests compile", || run_cargo(&[unit.as_slice(), &["--no-run"]].concat()))?;
    let mut unstable = Vec::new();
    // Many of them make containers, links and mounts: one at a time. The other core compiles.
    step("unit tests and programs", || {
        unstable.extend(side_by_side(|| suite::run(&unit, &ONE_AT_A_TIME), binaries::build)?);
        Ok(())
    })?;
    step("end to end", || {
        let mut arguments = vec!["test", "--locked", "--no-fail-fast"];
        for package in END_TO_END {
            arguments.extend(["-p", package]);
        }
        unstable.extend(suite::run(&arguments, &ONE_AT_A_TIME)?);
        Ok(())
    })?;
    for test in unstable {
        println!("=== UNSTABLE: {test} failed and then passed: a defect of it or of what it tests");
    }
    Ok(())
}

/// Runs both at once; the first error is that of the first.
fn side_by_side<T>(
    one: impl FnOnce() -> Result<T>,
    other: impl FnOnce() -> Result<()> + Send,
) -> Result<T> {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        let other = other.join().expect("a step does not panic");
        let one = one?;
        other.map(|()| one)
    })
}

fn run_cargo(arguments: &[&str]) -> Result<()> {
    run(cargo(arguments))
}
