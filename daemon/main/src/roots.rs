//! The daemon's directories: who owns them now, and what they stand on.

use crate::arguments::Arguments;
use crate::serve::End;
use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What our tmpfs is mounted from, as mount tables show it.
const SOURCE: &str = "gantry";
/// statfs(2)'s number for a tmpfs.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Data root and exec root, ours while this lives.
pub(crate) struct Roots {
    exec_root: PathBuf,
    pidfile: PathBuf,
    /// We mounted the tmpfs below everything, and take it away when nothing is left on it.
    mounted: bool,
    _lock: File,
}

impl Roots {
    /// Makes both, and takes the lock that keeps a second daemon out.
    pub(crate) fn take(settings: &Arguments) -> anyhow::Result<Self> {
        let exec_root = settings.exec_root.clone();
        create(&settings.data_root, 0o711)?;
        create(&exec_root, 0o711)?;
        let mounted = mount_tmpfs(&exec_root)?;
        let lock = lock(&exec_root.join("gantryd.lock"))?;
        let pidfile = settings.pidfile.clone().unwrap_or_else(|| exec_root.join("gantryd.pid"));
        std::fs::write(&pidfile, std::process::id().to_string())
            .with_context(|| format!("write {}", pidfile.display()))?;
        Ok(Self { exec_root, pidfile, mounted, _lock: lock })
    }

    /// Removes what says that a daemon is here; `end` is how it ended, if it did not fail.
    pub(crate) fn leave(self, end: Option<End>) {
        let _ = std::fs::remove_file(&self.pidfile);
        if end == Some(End::Empty) && self.mounted {
            // Lazily: our own lock file is still open on it.
            let _ = unmount(&self.exec_root, UnmountFlags::DETACH);
        }
    }
}

fn create(path: &Path, mode: u32) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("make {}", path.display()))
}

/// How long a daemon that is ending may hold the lock.
const DYING: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(2);

fn lock(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let mut file = options.open(path).with_context(|| format!("open {}", path.display()))?;
    let begun = Instant::now();
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        // One that was killed just now holds it until the kernel has closed its files.
        if begun.elapsed() < DYING {
            std::thread::sleep(POLL);
            continue;
        }
        let mut pid = String::new();
        let _ = file.take(32).read_to_string(&mut pid);
        bail!("a daemon (pid {}) already uses {}", pid.trim(), path.display());
    }
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Puts a tmpfs below the exec root where there is none; true when there is one of ours.
fn mount_tmpfs(exec_root: &Path) -> anyhow::Result<bool> {
    // Two daemons at once must not both find none: the parent is locked while we look.
    let parent = exec_root.parent().unwrap_or(Path::new("/"));
    let parent = File::open(parent).with_context(|| format!("open {}", parent.display()))?;
    flock(&parent, FlockOperation::LockExclusive)?;
    let file_system = rustix::fs::statfs(exec_root)
        .with_context(|| format!("look at {}", exec_root.display()))?;
    if file_system.f_type == TMPFS_MAGIC {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        return Ok(is_mounted_by_us(&mounts, exec_root));
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount(SOURCE, exec_root, "tmpfs", flags, Some(c"mode=711"))
        .with_context(|| format!("mount a tmpfs at {}", exec_root.display()))?;
    // What is mounted below (network namespaces) shall stay below.
    rustix::mount::mount_change(exec_root, rustix::mount::MountPropagationFlags::PRIVATE)?;
    Ok(true)
}

/// Whether the topmost mount at `path` has our source (proc_pid_mountinfo(5)); an administrator's
/// own tmpfs is not ours to take away.
fn is_mounted_by_us(mounts: &str, path: &Path) -> bool {
    let topmost = mounts.lines().rfind(|line| {
        // White space in a path is escaped; ours with such characters are then not found, and stay.
        line.split(' ').nth(4).is_some_and(|point| Path::new(point) == path)
    });
    let source = topmost.and_then(|line| line.split_once(" - ")?.1.split(' ').nth(1));
    source == Some(SOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tmpfs_of_somebody_elses_is_not_ours() {
        let line = |point: &str, source: &str| {
            format!("36 35 0:50 / {point} rw,nosuid shared:1 - tmpfs {source} rw,mode=711")
        };
        let mounts = [line("/a", "tmpfs"), line("/b", "gantry")].join("\n");
        assert!(!is_mounted_by_us(&mounts, Path::new("/a")));
        assert!(is_mounted_by_us(&mounts, Path::new("/b")));
        assert!(!is_mounted_by_us(&mounts, Path::new("/c")));
        let over = [mounts, line("/b", "other")].join("\n");
        assert!(!is_mounted_by_us(&over, Path::new("/b")));
    }

    #[test]
    fn a_second_lock_is_refused_with_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gantryd.lock");
        let first = lock(&path).unwrap();
        let refused = lock(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
        drop(first);
        lock(&path).unwrap();
    }
}
