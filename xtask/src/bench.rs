//! Starts the benchmark in `bench/`.

use crate::binaries;
use crate::workspace::{cargo, run};
use anyhow::Result;

/// Builds the programs and measures them; the arguments are the benchmark's own.
pub(crate) fn measure(arguments: &[String]) -> Result<()> {
    binaries::build()?;
    run(cargo(&["build", "--release", "--quiet", "--package", "bench-floor"]))?;
    let mut command = cargo(&["run", "--release", "--quiet", "--package", "bench-run", "--"]);
    command.args(arguments);
    run(command)
}
