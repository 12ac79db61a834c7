//! The bundle that runtimes are given: what dockerd gives them for a container with limits.

use crate::options::Options;
use crate::peers::{self, IMAGE};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tests_harness::{Reference, output_of};

/// Bundles of one busybox root: [`Bundles::of`] makes one for a command.
pub(crate) struct Bundles {
    folder: tempfile::TempDir,
    state: tempfile::TempDir,
    config: Value,
}

impl Bundles {
    /// Takes the configuration that was given, or else the one that Debian's dockerd writes.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let config = match &options.config {
            Some(path) => {
                let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
                serde_json::from_slice(&text)?
            }
            None => dockerds(&peers::dockerd())?,
        };
        let folder = tempfile::Builder::new().prefix("gantry-bundle-").tempdir()?;
        let root = folder.path().join("rootfs");
        for name in ["bin", "proc", "sys", "dev", "etc"] {
            fs::create_dir_all(root.join(name))?;
        }
        for name in ["true", "sleep"] {
            fs::copy("/bin/busybox", root.join("bin").join(name))?;
        }
        // A tmpfs, as `/run` is, where runtimes keep their state; a virtual machine may have no other.
        let memory = Some(Path::new("/dev/shm")).filter(|path| path.is_dir());
        let place = memory.map_or_else(std::env::temp_dir, Path::to_owned);
        let state = tempfile::Builder::new().prefix("gantry-state-").tempdir_in(place)?;
        Ok(Self { folder, state, config })
    }

    /// What every bundle's is made of.
    pub(crate) fn config(&self) -> &Value {
        &self.config
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where runtimes keep their state.
    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// A bundle for a command, in a cgroup of its own below one that stays.
    pub(crate) fn of(&self, name: &str, command: &[&str]) -> Result<PathBuf> {
        self.limited(name, command, &self.config["linux"]["resources"]["memory"])
    }

    /// The same with another limit of memory.
    pub(crate) fn limited(&self, name: &str, command: &[&str], memory: &Value) -> Result<PathBuf> {
        let bundle = self.folder.path().join(name);
        fs::create_dir_all(&bundle)?;
        let mut config = self.config.clone();
        config["process"]["args"] = json!(command);
        config["linux"]["resources"]["memory"] = memory.clone();
        config["linux"]["cgroupsPath"] = json!(format!("/gantry-bench/{name}"));
        fs::write(bundle.join("config.json"), config.to_string())?;
        Ok(bundle)
    }
}

/// The configuration that a dockerd writes: Docker's default seccomp profile, its mounts, masked
/// paths and capabilities, a network namespace, and limits of memory, CPU and processes.
fn dockerds(dockerd: &Reference) -> Result<Value> {
    let limits = ["--memory", "256m", "--cpus", "1.5", "--pids-limit", "100"];
    let run = [&["run", "-d", "--network", "none"], &limits[..], &[IMAGE, "sleep", "1000"]];
    let id = output_of(&mut dockerd.docker(&run.concat()));
    let tasks = "exec/containerd/daemon/io.containerd.runtime.v2.task/moby";
    let written = dockerd.scratch().join(tasks).join(id.trim()).join("config.json");
    let text = fs::read(&written).with_context(|| format!("read {}", written.display()))?;
    let _ = output_of(&mut dockerd.docker(&["rm", "-f", id.trim()]));
    let mut config: Value = serde_json::from_slice(&text)?;
    // dockerd's own way to reach the network namespace, and files that are gone with it.
    config.as_object_mut().context("a configuration is an object")?.remove("hooks");
    let mounts = config["mounts"].as_array_mut().context("mounts")?;
    mounts.retain(|mount| mount["type"] != "bind");
    config["root"] = json!({"path": "../rootfs"});
    config["process"]["terminal"] = json!(false);
    if config["linux"]["seccomp"].is_null() {
        bail!("dockerd gave no seccomp profile");
    }
    Ok(config)
}

impl Drop for Bundles {
    fn drop(&mut self) {
        // On cgroup v2 there is one hierarchy alone.
        let _ = fs::remove_dir("/sys/fs/cgroup/gantry-bench");
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for hierarchy in hierarchies {
            let _ = fs::remove_dir(hierarchy.path().join("gantry-bench"));
        }
    }
}
