//! Debian's engines, each in roots and a network namespace of its own, as peers and references.

use crate::cgroups::HiddenHierarchies;
use crate::daemon::signal;
use crate::{output_of, wait};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running reference program; it ends, and its mounts go, on drop.
pub struct Reference {
    roots: tempfile::TempDir,
    process: Child,
    name: &'static str,
    _hierarchies: HiddenHierarchies,
}

impl Reference {
    /// Debian's dockerd. In a network namespace of its own, since its FORWARD policy would drop
    /// everyone else's traffic.
    ///
    /// # Panics
    /// When it does not answer within two minutes.
    #[must_use]
    pub fn dockerd(options: &[&str]) -> Self {
        Self::dockerd_from(&engines(), options)
    }

    /// A dockerd from a folder that also holds the programs it starts.
    ///
    /// # Panics
    /// When it does not answer within two minutes.
    #[must_use]
    pub fn dockerd_from(programs: &Path, options: &[&str]) -> Self {
        let roots = folder();
        let (data, exec) = (roots.path().join("data"), roots.path().join("exec"));
        let socket = roots.path().join("docker.sock");
        let mut command = Command::new("unshare");
        // The mounts stay the host's: a mount namespace would hide the cgroup hierarchies.
        command
            .args([
                "--net",
                "--",
                "sh",
                "-c",
                "ip link set lo up && exec dockerd \"$@\"",
                "dockerd",
            ])
            .env(
                "PATH",
                format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default()),
            )
            .arg("--data-root")
            .arg(data)
            .arg("--exec-root")
            .arg(exec)
            .arg("--pidfile")
            .arg(roots.path().join("docker.pid"))
            .arg("-H")
            .arg(format!("unix://{}", socket.display()))
            .args(options);
        let reference = Self::spawn(roots, command, "dockerd");
        reference.until_ready(|| {
            let mut command = reference.docker(&["version"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        });
        reference
    }

    /// Debian's containerd, with `programs` first on its PATH.
    ///
    /// # Panics
    /// When it does not answer within two minutes.
    #[must_use]
    pub fn containerd(programs: &Path) -> Self {
        let roots = folder();
        let configuration = roots.path().join("config.toml");
        let text = format!(
            "version = 2\nroot = \"{root}/data\"\nstate = \"{root}/exec\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{root}/containerd.sock\"\n",
            root = roots.path().display()
        );
        std::fs::write(&configuration, text).expect("write containerd's configuration");
        let engines = engines();
        let path = std::env::var("PATH").unwrap_or_default();
        let folders = [programs, engines.as_path()].map(|folder| folder.display().to_string());
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec containerd --config \"$1\"", "containerd"])
            .arg(configuration)
            .env("PATH", format!("{}:{path}", folders.join(":")));
        let reference = Self::spawn(roots, command, "containerd");
        reference.until_ready(|| {
            let mut command = ctr(&reference.containerd_socket(), &["version"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        });
        reference
    }

    fn spawn(roots: tempfile::TempDir, mut command: Command, name: &'static str) -> Self {
        let log = File::create(roots.path().join("log")).expect("create log");
        let hierarchies = HiddenHierarchies::mount();
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clone descriptor"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self { roots, process, name, _hierarchies: hierarchies }
    }

    fn until_ready(&self, ready: impl Fn() -> bool) {
        wait::until(self.name, Duration::from_secs(120), || {
            if ready() { Ok(()) } else { Err(self.log()) }
        });
    }

    /// What the program has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.roots.path().join("log")).unwrap_or_default()
    }

    /// A folder of the reference's own.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.roots.path()
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// dockerd's socket, as `-H` takes it.
    #[must_use]
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.roots.path().join("docker.sock").display())
    }

    /// A command of Debian's docker client on this dockerd.
    #[must_use]
    pub fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/docker");
        command.arg("-H").arg(self.docker_host()).args(arguments).stdin(Stdio::null());
        command
    }

    /// containerd's gRPC socket.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.roots.path().join("containerd.sock")
    }
}

/// Where dockerd, containerd and what they start are found first; `TEST_ENGINES` puts others in the
/// place of Debian's.
fn engines() -> PathBuf {
    std::env::var_os("TEST_ENGINES").map_or_else(|| "/usr/sbin".into(), PathBuf::from)
}

/// A command of Debian's `ctr` on a containerd, original or ours.
#[must_use]
pub fn ctr(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.arg("-a").arg(socket).args(["-n", "test"]).args(arguments).stdin(Stdio::null());
    command
}

/// An image as a docker-archive, which `docker load` and `ctr image import` both take.
#[must_use]
pub fn archive(layout: &Path, name: &str, to: &Path) -> PathBuf {
    let file = to.join("image.tar");
    let _ = std::fs::remove_file(&file);
    let _ = output_of(Command::new("skopeo").args([
        "copy",
        "--insecure-policy",
        &format!("oci:{}", layout.display()),
        &format!("docker-archive:{}:{name}", file.display()),
    ]));
    file
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("gantry-reference-").tempdir().expect("temporary folder")
}

impl Drop for Reference {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- {} log (end)\n{}",
                self.name,
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
        signal(self.process.id(), "TERM");
        let _ = self.process.wait();
        let root = self.roots.path().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for line in mounts.lines().rev() {
            if let Some(target) = line.split(' ').nth(1).filter(|target| target.starts_with(&root))
            {
                let _ = Command::new("umount").args(["-l", target]).status();
            }
        }
    }
}
