//! Records what the original daemons answer: `cargo xtask record`.

#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests_api::recording::Recording;
use tests_api::scenario::{IMAGE, VERSIONS, steps};
use tests_api::wire::{self, Call};
use tests_harness::{Reference, images, wait};

const HELP: &str = "\
Usage: cargo xtask record [--newest FOLDER] [VERSION]...

Sends the scenario of tests/api to the original daemons, and writes what they answer to
tests/api/recorded/VERSION.json. Version 1.24 is Debian's dockerd (/usr/sbin); later ones are
the newest, whose programs (dockerd, containerd, containerd-shim-runc-v2, runc, docker-proxy)
are expected in FOLDER, ~/.cache/gantry-peers/bin if not given.
";

/// The newest daemon does not go below this.
const NEWEST_MINIMUM: &str = "1.40";

/// Where the registry listens, in the daemon's network namespace.
const ADDRESS: &str = "127.0.0.1:5000";
/// The same, as the daemon is told of it.
const MIRROR: &str = "http://127.0.0.1:5000";

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
    let daemon = Reference::dockerd_from(programs, &["--registry-mirror", MIRROR]);
    let named = daemon.docker(&["version", "-f", "{{.Server.Version}}"]).output()?;
    let name = format!("dockerd {}", String::from_utf8_lossy(&named.stdout).trim());
    let host = daemon.docker_host();
    let socket = Path::new(host.trim_start_matches("unix://"));
    let _registry = Registry::beside(&daemon)?;
    let pull = Call {
        method: "POST",
        target: "/images/create?fromImage=web&tag=latest",
        ..Call::default()
    };
    let pulled = wire::exchange(socket, &pull)?;
    if !String::from_utf8_lossy(&pulled.body).contains("Downloaded newer image") {
        bail!("pull {IMAGE}: {}", String::from_utf8_lossy(&pulled.body));
    }
    let recording = Recording::take(&name, socket, ADDRESS, version, &steps())?;
    recording.store(version)?;
    println!("{version}: {} answers of {name}", recording.answers.len());
    Ok(())
}

/// A registry in the daemon's network namespace, which holds the scenario's image.
struct Registry(Child);

impl Registry {
    fn beside(daemon: &Reference) -> Result<Self> {
        let namespace = format!("--net=/proc/{}/ns/net", daemon.pid());
        let inside = |arguments: &[&str]| {
            let mut command = Command::new("nsenter");
            command.arg(&namespace).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let configuration = daemon.scratch().join("registry.yml");
        let storage = daemon.scratch().join("registry");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: \
             {}\nhttp:\n  addr: {ADDRESS}\n",
            storage.display()
        );
        std::fs::write(&configuration, text)?;
        let configuration = configuration.display().to_string();
        let registry = Self(
            inside(&["docker-registry", "serve", &configuration])
                .stderr(Stdio::null())
                .spawn()
                .context("start docker-registry")?,
        );
        let layout = format!("oci:{}", images::web().display());
        let target = format!("docker://{ADDRESS}/library/{IMAGE}");
        let push =
            ["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", &layout, &target];
        wait::until("the registry to take the image", Duration::from_secs(60), || {
            match inside(&push).stderr(Stdio::null()).status() {
                Ok(status) if status.success() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
