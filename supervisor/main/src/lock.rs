//! One supervisor for a state directory.

use anyhow::{Context, bail};
use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const NAME: &str = "supervisor.pid";

/// The lock on a state directory, with this process' id in it; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock, making the directory first.
    pub(crate) fn take(state: &Path) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(state)
            .with_context(|| format!("make {}", state.display()))?;
        let path = state.join(NAME);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let mut file = options.open(&path).with_context(|| format!("open {}", path.display()))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = file.take(32).read_to_string(&mut pid);
            bail!("a supervisor (pid {}) already runs in {}", pid.trim(), state.display());
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock goes, so that no later supervisor's file is removed.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_with_the_pid_of_the_first() {
        let state = tempfile::tempdir().unwrap();
        let lock = Lock::take(state.path()).unwrap();
        let refused = Lock::take(state.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
        drop(lock);
        assert!(!state.path().join(NAME).exists());
        Lock::take(state.path()).unwrap();
    }
}
