//! One cgroup in every v1 hierarchy of this machine.

use anyhow::{Context, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";
const PARENT: &str = "gantry-floor";

/// The hierarchies that processes can be attached to by `cgroup.procs`.
pub(crate) fn hierarchies() -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(ROOT).context("list cgroup hierarchies")? {
        let entry = entry?;
        // On v2 there is one hierarchy and attachment is part of clone3; not measured here.
        if entry.file_type()?.is_dir() && entry.path().join("tasks").exists() {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}

pub(crate) fn create_parent() -> Result<()> {
    for hierarchy in hierarchies()? {
        let parent = hierarchy.join(PARENT);
        make(&parent)?;
        copy_cpuset(&hierarchy, &parent)?;
    }
    Ok(())
}

pub(crate) fn remove_parent() -> Result<()> {
    for hierarchy in hierarchies()? {
        let _ = fs::remove_dir(hierarchy.join(PARENT));
    }
    Ok(())
}

/// Makes the cgroups of one container.
pub(crate) fn create(hierarchies: &[PathBuf], run: usize) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for hierarchy in hierarchies {
        let parent = hierarchy.join(PARENT);
        let own = parent.join(run.to_string());
        make(&own)?;
        copy_cpuset(&parent, &own)?;
        all.push(own);
    }
    Ok(all)
}

/// Attaches the calling process.
pub(crate) fn attach(cgroups: &[PathBuf]) -> io::Result<()> {
    cgroups.iter().try_for_each(|cgroup| fs::write(cgroup.join("cgroup.procs"), "0"))
}

pub(crate) fn remove(cgroups: &[PathBuf]) -> Result<()> {
    for cgroup in cgroups {
        fs::remove_dir(cgroup).with_context(|| format!("remove {}", cgroup.display()))?;
    }
    Ok(())
}

fn make(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.with_context(|| format!("create {}", path.display())),
    }
}

/// A new cpuset has no processors and takes no process.
fn copy_cpuset(from: &Path, to: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read(from.join(name)) {
            fs::write(to.join(name), value).with_context(|| format!("write {name}"))?;
        }
    }
    Ok(())
}
