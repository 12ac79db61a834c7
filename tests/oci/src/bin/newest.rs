//! `cargo xtask newest`: the newest containerd, built from its Go module, runs our shim.
//!
//! Not in CI: the module takes minutes to build and comes from outside. The built programs are kept
//! in the cache.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tests_harness::reference::ctr;
use tests_harness::{cache, daemon, programs, wait};

const CONTAINERD: &str = "github.com/containerd/containerd/v2";
const VERSION: &str = "v2.4.2";

fn main() -> Result<()> {
    let built = build()?;
    let folder = tempfile_folder()?;
    let (socket, path) =
        (folder.join("containerd.sock"), std::env::var("PATH").unwrap_or_default());
    let log = File::create(folder.join("log"))?;
    let mut containerd = Command::new(built.join("containerd"))
        .arg("--address")
        .arg(&socket)
        .arg("--root")
        .arg(folder.join("data"))
        .arg("--state")
        .arg(folder.join("exec"))
        .env("PATH", format!("{}:{path}", programs().display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start containerd")?;
    wait::until("containerd", Duration::from_secs(30), || {
        let version =
            ctr(&socket, &["version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if version.is_ok_and(|status| status.success()) {
            Ok(())
        } else {
            Err(std::fs::read_to_string(folder.join("log")).unwrap_or_default())
        }
    });
    tests_oci::import_busybox(&socket, &folder);
    tests_oci::ctr_tells_a_containers_life(&socket, &["--runtime", tests_oci::OURS]);
    println!("containerd {VERSION} ran, executed in, paused, killed and deleted through our shim");
    daemon::signal(containerd.id(), "TERM");
    containerd.wait()?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Builds containerd with Go, once.
fn build() -> Result<PathBuf> {
    let place = cache().join(format!("containerd-{VERSION}"));
    if place.join("containerd").exists() {
        return Ok(place);
    }
    std::fs::create_dir_all(&place)?;
    std::fs::write(place.join("go.mod"), "module newest\n\ngo 1.24\n")?;
    let package = format!("{CONTAINERD}/cmd/containerd");
    go(&place, &["get", "-tool", &format!("{package}@{VERSION}")])?;
    go(&place, &["build", "-tags", "no_btrfs", "-o", "containerd", &package])?;
    Ok(place)
}

fn go(folder: &Path, arguments: &[&str]) -> Result<()> {
    let status =
        Command::new("go").current_dir(folder).args(arguments).status().context("start go")?;
    if !status.success() {
        bail!("go {arguments:?}: {status}");
    }
    Ok(())
}

fn tempfile_folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("gantry-newest-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
