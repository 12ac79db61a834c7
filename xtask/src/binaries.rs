//! Builds the five programs, the daemon's proxy and the init of containers into `target/gantry/`,
//! where they find each other.

use crate::workspace::{cargo, root, run};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Takes out of the static programs what only unwinding reads: they abort on a panic.
const WITHOUT_UNWINDING: &str = "xtask/static.ld";

/// Builds all of them and puts them side by side.
pub(crate) fn build() -> Result<()> {
    let place = root().join("target/gantry");
    std::fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
    // `./gantry` compares the sources' times with it: what is edited while this runs is newer.
    let begun = place.join(".built.begun");
    std::fs::write(&begun, "").with_context(|| format!("write {}", begun.display()))?;
    let target = host()?;
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
        &target,
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
    small.env("RUSTFLAGS", static_flags(&target)?);
    run_side_by_side(large, small)?;

    let release = root().join("target/release");
    let small = root().join("target/static").join(&target).join("small");
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

/// This machine's target. The static programs are built for it by name, into a folder of their own,
/// so that the other programs' flags stay as they are.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = output(Command::new(rustc).arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// How shim, runtime, proxy and init are compiled and linked: without a dynamic loader, and small
/// (docs/flows/run-cost.md, "The size of the program").
pub(crate) fn static_flags(target: &str) -> Result<String> {
    let script = root().join(WITHOUT_UNWINDING);
    // What `kernel_sys` answers in the place of a library's function comes before the library's.
    let mut flags = format!(
        "-Ctarget-feature=+crt-static -Clink-arg=-Wl,-z,muldefs -Clink-arg=-Wl,-T,{}",
        script.display()
    );
    // What follows is of static programs that are position-independent: Rust's are that on x86-64 alone.
    if !target.starts_with("x86_64") {
        return Ok(flags);
    }
    let library = version(&output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?);
    // From 2.36 on glibc's start-up understands packed relocations.
    if library >= Some((2, 36)) {
        flags.push_str(" -Clink-arg=-Wl,-z,pack-relative-relocs");
    }
    // Known to `kernel/sys/src/start.rs`.
    if library == Some((2, 36)) {
        flags.push_str(" --cfg gantry_own_start");
    }
    Ok(flags)
}

/// The version in a text as `glibc 2.36`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().rsplit(' ').next()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    Ok(String::from_utf8(output.stdout)?)
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
