//! Debian's podman and buildah, with storage of their own.

use crate::cgroups::ONLY_V1;
use crate::{images, output_of};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What root may set without `CAP_SYS_RESOURCE`: podman's own defaults are above it.
const CONFIGURATION: &str = "\
[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]
";

/// Podman's and buildah's folders, with busybox in the storage. Their commands run in one mount
/// namespace, where nothing but cgroup v1 is mounted below `/sys/fs/cgroup`, and all of it: podman
/// makes plain folders in the place of a hierarchy that exists and is not mounted, and then fails
/// to remove them. Containers and mounts go on drop.
pub struct Podman {
    roots: tempfile::TempDir,
    runtime: PathBuf,
    namespace: Child,
}

impl Podman {
    /// With this runtime; busybox has this name.
    ///
    /// # Panics
    /// When the storage cannot be filled.
    #[must_use]
    pub fn new(runtime: &Path, image: &str) -> Self {
        let roots =
            tempfile::Builder::new().prefix("gantry-podman-").tempdir().expect("temporary folder");
        let namespace = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(format!("set -eu\n{ONLY_V1}\necho ready\nexec sleep infinity"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("start unshare");
        let mut podman = Self { roots, runtime: runtime.to_owned(), namespace };
        let mut line = String::new();
        let output = podman.namespace.stdout.take().expect("a pipe");
        let _ = BufReader::new(output).read_line(&mut line).expect("read from the namespace");
        assert_eq!(line, "ready\n", "the mount namespace was not made");
        std::fs::write(podman.configuration(), CONFIGURATION).expect("write containers.conf");
        let (data, exec) = podman.folders();
        let place =
            format!("containers-storage:[overlay@{}+{}]{image}", data.display(), exec.display());
        let _ = output_of(
            podman
                .within("skopeo")
                .args(["copy", "--insecure-policy", "-q"])
                .arg(format!("oci:{}", images::busybox().display()))
                .arg(place),
        );
        podman
    }

    fn folders(&self) -> (PathBuf, PathBuf) {
        (self.scratch().join("data"), self.scratch().join("exec"))
    }

    fn configuration(&self) -> PathBuf {
        self.scratch().join("containers.conf")
    }

    /// A folder of its own.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.roots.path()
    }

    fn within(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.namespace.id())).arg(program);
        command
    }

    fn on_the_storage(&self, program: &str) -> Command {
        let (data, exec) = self.folders();
        let mut command = self.within(program);
        command.env("CONTAINERS_CONF", self.configuration()).stdin(Stdio::null());
        command.arg("--root").arg(data).arg("--runroot").arg(exec);
        command.args(["--storage-driver", "overlay"]);
        command
    }

    /// A podman command; cgroups by files, as there is no systemd to ask.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.on_the_storage("podman");
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command.arg("--runtime").arg(&self.runtime).args(arguments);
        command
    }

    /// Runs a podman command that must succeed; its output without the last line's end.
    #[must_use]
    pub fn ok(&self, arguments: &[&str]) -> String {
        output_of(&mut self.command(arguments)).trim_end().to_owned()
    }

    /// A command of buildah's on the same storage.
    #[must_use]
    pub fn buildah_on_storage(&self, arguments: &[&str]) -> Command {
        let mut command = self.on_the_storage("buildah");
        command.args(arguments);
        command
    }

    /// A command of buildah's that runs containers (`bud`, `run`), on the same storage.
    #[must_use]
    pub fn buildah(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = self.buildah_on_storage(&[verb, "--isolation", "oci"]);
        command.arg("--runtime").arg(&self.runtime).args(arguments);
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["pod", "rm", "-fa", "-t", "0"]).output();
        let _ = self.command(&["rm", "-fa", "-t", "0"]).output();
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
    }
}
