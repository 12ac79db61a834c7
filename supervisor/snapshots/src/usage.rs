//! What a layer takes on disk.

use contracts_supervisor_api::services::snapshots::UsageResponse;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::fd::OwnedFd;

/// Counts blocks and inodes below `root`, itself included, hard links once. A tree that changes
/// meanwhile is counted as well as may be.
pub(crate) fn of(root: &OwnedFd) -> Result<UsageResponse, Errno> {
    let mut count = Count::default();
    count.add(&rustix::fs::fstat(root)?);
    // Paths, not descriptors, wait on the stack: a tree has more directories than a process has
    // descriptors. They are opened one component below an opened directory, never following.
    let mut todo: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let directory = match open(root, &path) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(error) => return Err(error),
        };
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            count.add(&stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(name);
                todo.push(below);
            }
        }
    }
    Ok(UsageResponse { size: count.bytes, inodes: count.inodes })
}

fn open(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    rustix::fs::openat2(
        root,
        if path.is_empty() { b"." } else { path },
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

#[derive(Default)]
struct Count {
    bytes: i64,
    inodes: i64,
    linked: HashSet<u64>,
}

impl Count {
    fn add(&mut self, stat: &rustix::fs::Stat) {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if stat.st_nlink > 1 && !is_directory && !self.linked.insert(stat.st_ino) {
            return;
        }
        self.bytes += stat.st_blocks * 512;
        self.inodes += 1;
    }
}
