//! Records what the original daemons answer: `cargo xtask record`.

#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use tests_api::recording::Recording;
use tests_api::scenario::{IMAGE, VERSIONS, steps};
use tests_harness::{Reference, images, reference};

const HELP: &str = "\
Usage: cargo xtask record [--newest FOLDER] [VERSION]...

Sends the scenario of tests/api to the original daemons, and writes what they answer to
tests/api/recorded/VERSION.json. Version 1.24 is Debian's dockerd (/usr/sbin); later ones are
the newest, whose programs (dockerd, containerd, containerd-shim-runc-v2, runc, docker-proxy)
are expected in FOLDER, ~/.cache/gantry-peers/bin if not given.
";

/// The newest daemon does not go below this.
const NEWEST_MINIMUM: &str = "1.40";

fn main() -> Result<()> {
    let mut newest = cache();
    let mut versions = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(());
            }
            "--newest" => newest = arguments.next().context("--newest needs a folder")?.into(),
            version if VERSIONS.contains(&version) => versions.push(version.to_owned()),
            other => bail!("{other} is none of {VERSIONS:?}"),
        }
    }
    if versions.is_empty() {
        versions = VERSIONS.map(str::to_owned).to_vec();
    }
    for version in versions {
        let debian = Path::new("/usr/sbin");
        let programs = if version.as_str() < NEWEST_MINIMUM { debian } else { &newest };
        record(&version, programs).with_context(|| format!("record {version}"))?;
    }
    Ok(())
}

fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
    Path::new(&home).join(".cache/gantry-peers/bin")
}

fn record(version: &str, programs: &Path) -> Result<()> {
    if !programs.join("dockerd").exists() {
        bail!("no dockerd in {}", programs.display());
    }
    let daemon = Reference::dockerd_from(programs, &[]);
    let archive = reference::archive(&images::web(), IMAGE, daemon.scratch());
    let loaded = daemon.docker(&["load", "-i"]).arg(archive).status()?;
    if !loaded.success() {
        bail!("docker load: {loaded}");
    }
    let named = daemon.docker(&["version", "-f", "{{.Server.Version}}"]).output()?;
    let name = format!("dockerd {}", String::from_utf8_lossy(&named.stdout).trim());
    let host = daemon.docker_host();
    let socket = Path::new(host.trim_start_matches("unix://"));
    let recording = Recording::take(&name, socket, version, &steps())?;
    recording.store(version)?;
    println!("{version}: {} answers of {name}", recording.answers.len());
    Ok(())
}
