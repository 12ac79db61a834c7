//! One supervisor for a state directory.

use anyhow::{Context, bail};
use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NAME: &str = "supervisor.pid";
/// How long the lock may be taken: whoever only looks whether somebody has it takes it too, for
/// an instant.
const PATIENCE: Duration = Duration::from_millis(300);
const RETRY: Duration = Duration::from_millis(5);

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
        let begun = Instant::now();
        let mut file = loop {
            match try_lock(&path).with_context(|| format!("lock {}", path.display()))? {
                Ok(file) => break file,
                Err(holder) if begun.elapsed() > PATIENCE => {
                    bail!("a supervisor (pid {holder}) already runs in {}", state.display());
                }
                Err(_) => std::thread::sleep(RETRY),
            }
        };
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { path, _file: file })
    }
}

/// The locked file, or the pid of who has it.
fn try_lock(path: &Path) -> io::Result<Result<File, String>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let file = options.open(path)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        // Only for the message.
        let _ = file.take(32).read_to_string(&mut holder);
        return Ok(Err(holder.trim().to_owned()));
    }
    // A supervisor that just ended has removed the file that was opened here.
    let is_same = |there: &Metadata, here: &Metadata| there.ino() == here.ino();
    match std::fs::metadata(path) {
        Ok(there) if is_same(&there, &file.metadata()?) => Ok(Ok(file)),
        _ => Ok(Err("about to end".to_owned())),
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
