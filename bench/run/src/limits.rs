//! The smallest memory limit that a container starts under.

use crate::bundle::Bundles;
use crate::contender::{Place, run_to_success};
use crate::options::Options;
use crate::report::Report;
use crate::runtimes::{Runtime, runtimes};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs;
use std::process::Command;
use tests_vm::Machine;

const WHAT: &str = "smallest memory limit that `true` starts under";
/// The machine has the runtimes of its release of Debian.
const IN_MACHINE: &str = "env TEST_GANTRY-RUNTIME=/payload/gantry/gantry-runtime \
                          /payload/bench --only limits --config /payload/config.json";
/// What the kernel counts in.
const PAGE: u64 = 4096;
/// Enough for everyone, in pages.
const ENOUGH: u64 = 16_384;
/// So many runs in a row must end well under a limit.
const RUNS: usize = 10;
/// What a runtime is given before it counts as hanging, in seconds.
const PATIENCE: &str = "10";

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let bundles = Bundles::new(options)?;
    for runtime in runtimes(options, &bundles) {
        let place = Place { network: None, without_unified: true };
        let pages = place.within(|| smallest(&bundles, &runtime))?;
        report.fact(&format!("{WHAT}, {}", runtime.name), &format!("{} KiB", pages * PAGE / 1024));
    }
    Ok(())
}

/// Has this program measure the same in a machine with cgroup v2 alone.
pub(crate) fn measure_on_v2(options: &Options, report: &mut Report) -> Result<()> {
    let bundles = Bundles::new(options)?;
    let config = bundles.path().join("config.json");
    fs::write(&config, bundles.config().to_string())?;
    for runtime in &options.runtimes {
        // One machine each: the emulation is slow, and a machine's time has an end.
        let machine = Machine::bare()
            .with_programs()
            .with("bench", &std::env::current_exe()?)
            .with("config.json", &config);
        let printed = machine.run(&format!("{IN_MACHINE} --runtimes {runtime}"));
        let row = format!("| {WHAT}, {runtime} | ");
        let value = printed.lines().find_map(|line| line.strip_prefix(&row)?.strip_suffix(" |"));
        let value = value.with_context(|| format!("no figure in {printed}"))?;
        report.fact(&format!("{WHAT} on cgroup v2, {runtime}"), value);
    }
    Ok(())
}

/// By bisection, in pages.
fn smallest(bundles: &Bundles, runtime: &Runtime) -> Result<u64> {
    let (mut too_small, mut holds) = (0, ENOUGH);
    if !starts_under(bundles, runtime, holds)? {
        bail!("{} starts under no limit at all", runtime.name);
    }
    while holds - too_small > 1 {
        let between = too_small.midpoint(holds);
        if starts_under(bundles, runtime, between)? {
            holds = between;
        } else {
            too_small = between;
        }
    }
    Ok(holds)
}

fn starts_under(bundles: &Bundles, runtime: &Runtime, pages: u64) -> Result<bool> {
    let name = format!("limits-{}", runtime.name.replace(' ', "-"));
    let bundle = bundles.limited(&name, &["/bin/true"], &json!({"limit": pages * PAGE}))?;
    let bundle = bundle.to_str().context("a path of UTF-8")?;
    for _ in 0..RUNS {
        let run = runtime.command(&["run", "--bundle", bundle, &name]);
        let mut timed = Command::new("timeout");
        timed.args(["--kill-after", "1", PATIENCE]).arg(run.get_program()).args(run.get_args());
        let ended_well = run_to_success(&mut timed).is_ok();
        if !ended_well {
            // Not there, where it never came to be.
            let _ = run_to_success(&mut runtime.command(&["delete", "--force", &name]));
            return Ok(false);
        }
    }
    Ok(true)
}
