//! Builds the five programs, the daemon's proxy and the init of containers into `target/gantry/`,
//! where they find each other.

use crate::workspace::{cargo, root, run};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Where shim, runtime, proxy and init are linked without a dynamic loader. It has a target folder
/// of its own, so that the other programs' flags stay as they are.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds all of them and puts them side by side.
pub(crate) fn build() -> Result<()> {
    let place = root().join("target/gantry");
    std::fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
    // `./gantry` compares the sources' times with it: what is edited while this runs is newer.
    let begun = place.join(".built.begun");
    std::fs::write(&begun, "").with_context(|| format!("write {}", begun.display()))?;
    let large = cargo(&[
        "build",
        "--release",
        "--locked",
        "-p",
        "client-main",
        "-p",
        "daemon-main",
        "-p",
        "supervisor-main",
    ]);
    let mut small = cargo(&[
        "build",
        "--profile",
        "small",
        "--locked",
        "--target",
        STATIC_TARGET,
        "--target-dir",
        "target/static",
        "-p",
        "shim-main",
        "-p",
        "runtime-main",
        "-p",
        "runtime-init",
        "-p",
        "daemon-proxy",
    ]);
    small.env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    run_side_by_side(large, small)?;

    let release = root().join("target/release");
    let small = root().join("target/static").join(STATIC_TARGET).join("small");
    for (from, program) in [
        (&release, "gantry"),
        (&release, "gantryd"),
        (&release, "gantry-supervisor"),
        (&small, "containerd-shim-gantry-v2"),
        (&small, "gantry-runtime"),
        (&small, "gantry-init"),
        (&small, "gantry-proxy"),
    ] {
        install(&from.join(program), &place.join(program))?;
    }
    std::fs::rename(&begun, place.join(".built")).context("note what was built")
}

/// Each alone leaves a core idle for long: where it links, and where crates wait for one another.
fn run_side_by_side(one: Command, other: Command) -> Result<()> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(other));
        let one = run(one);
        let other = other.join().expect("running a command does not panic");
        one.and(other)
    })
}

/// Replaces `to` by a link to `from`'s content, unless it is that already: a running program keeps
/// the old file.
fn install(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| path.metadata().map(|m| (m.dev(), m.ino())).ok();
    if identity(from).is_some() && identity(from) == identity(to) {
        return Ok(());
    }
    let new = to.with_extension("new");
    let _ = std::fs::remove_file(&new);
    std::fs::hard_link(from, &new)
        .and_then(|()| std::fs::rename(&new, to))
        .with_context(|| format!("install {} as {}", from.display(), to.display()))
}
