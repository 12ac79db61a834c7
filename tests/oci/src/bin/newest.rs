//! `cargo xtask newest`: the newest dockerd and containerd, built from their Go modules, in the place
//! of Debian's in the tests of our shim and our runtime.
//!
//! Not in CI: the modules take minutes to build and come from outside. The built programs are kept.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail};
use std::process::Command;
use tests_harness::newest;

fn main() -> Result<()> {
    let tests = ["--test", "containerd_runs_our_shim", "--test", "engines_use_our_runtime", "--"];
    let status = Command::new(env!("CARGO"))
        .args(["test", "-p", "tests-oci"])
        .args(tests)
        .args(["--test-threads", "1", "containerd", "dockerd", "shim"])
        .env("TEST_ENGINES", newest::programs())
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("containerd {} or dockerd {} did not: {status}", newest::CONTAINERD, newest::DOCKERD);
    }
    Ok(())
}
