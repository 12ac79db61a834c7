//! The originals: installed where they are missing, started with roots of their own.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests_harness::{Daemon, Reference, images, newest, output_of, reference};

/// Packages and the programs that tell whether they are there.
const PACKAGES: [(&str, &str); 8] = [
    ("docker.io", "/usr/sbin/dockerd"),
    ("podman", "/usr/bin/podman"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("runc", "/usr/sbin/runc"),
    ("crun", "/usr/bin/crun"),
    ("skopeo", "/usr/bin/skopeo"),
    ("docker-registry", "/usr/bin/docker-registry"),
    ("busybox-static", "/bin/busybox"),
];

/// The name of the one image, in every engine.
pub(crate) const IMAGE: &str = "localhost/busybox:bench";

/// Installs what is missing.
pub(crate) fn install() -> Result<()> {
    let missing = PACKAGES.iter().filter(|(_, program)| !Path::new(program).exists());
    let missing: Vec<&str> = missing.map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let status = Command::new("apt-get")
        .args(["install", "-y", "--no-install-recommends"])
        .args(&missing)
        .status()
        .context("start apt-get")?;
    if !status.success() {
        bail!("apt-get could not install {missing:?}");
    }
    Ok(())
}

/// Copies the image to where skopeo is told.
fn copy_image(destination: &str, options: &[&str]) {
    let source = format!("oci:{}", images::busybox().display());
    let mut command = Command::new("skopeo");
    let _ = output_of(
        command
            .args(["copy", "--insecure-policy", "-q"])
            .args(options)
            .args([source.as_str(), destination]),
    );
}

/// Debian's dockerd with the image.
pub(crate) fn dockerd() -> Reference {
    let dockerd = Reference::dockerd(&[]);
    let host = dockerd.docker_host();
    copy_image(&format!("docker-daemon:{IMAGE}"), &["--dest-daemon-host", &host]);
    dockerd
}

/// The newest dockerd with the image.
pub(crate) fn newest_dockerd() -> Reference {
    let dockerd = Reference::dockerd_from(&newest::programs(), &[]);
    // skopeo speaks an API version that this one has left behind.
    let archive = reference::archive(&images::busybox(), IMAGE, dockerd.scratch());
    let _ = output_of(dockerd.docker(&["load", "-q", "-i"]).arg(archive));
    dockerd
}

/// Our daemon with the image, which it pulls from a registry on loopback, and the image's name.
pub(crate) fn gantryd(options: &[&str]) -> (Daemon, String) {
    let registry = tests_harness::Registry::start();
    registry.push(&images::busybox(), "bench/busybox:latest");
    let daemon = Daemon::start(&[&["--log-level", "info"], options].concat());
    let image = format!("{}/bench/busybox:latest", registry.address());
    let _ = daemon.gantry_ok(&["pull", "-q", &image]);
    (daemon, image)
}

/// The network namespace of a process.
pub(crate) fn network_of(pid: u32) -> Result<File> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path).with_context(|| format!("open {path}"))
}

/// Podman with roots of its own and the image.
pub(crate) struct Podman {
    roots: tempfile::TempDir,
}

impl Podman {
    pub(crate) fn new() -> Result<Self> {
        let podman = Self { roots: tempfile::Builder::new().prefix("gantry-podman-").tempdir()? };
        let (data, exec) = podman.folders();
        let place =
            format!("containers-storage:[overlay@{}+{}]{IMAGE}", data.display(), exec.display());
        copy_image(&place, &[]);
        Ok(podman)
    }

    fn folders(&self) -> (PathBuf, PathBuf) {
        (self.roots.path().join("data"), self.roots.path().join("exec"))
    }

    /// A podman command; cgroups by files, as there is no systemd to ask.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let (data, exec) = self.folders();
        let mut command = Command::new("podman");
        command.arg("--root").arg(data).arg("--runroot").arg(exec);
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command.args(arguments);
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "-fa"]).output();
        let root = self.roots.path().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let targets = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
        for target in targets.filter(|target| target.starts_with(&root)) {
            let _ = Command::new("umount").args(["-l", target]).status();
        }
    }
}
