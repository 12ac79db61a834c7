//! Durable and atomic file updates.
//!
//! A file is replaced whole, by renaming a finished temporary file over it: a reader or a crash
//! sees the old content or the new, never a mix. How far a replacement must have got before the
//! caller is answered is its [`Durability`], the classes of ARCHITECTURE.md.

#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a write must survive once it has been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of every program; the page cache is enough.
    Processes,
    /// Loss of power: the file and its directory are synced.
    PowerLoss,
}

/// Replaces `path` by a file of mode `mode` with this content.
///
/// # Errors
/// The first operating system error; the old file is then untouched and no temporary one is left.
pub fn replace(path: &Path, content: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let result = write_new(&temporary, content, mode, durability)
        .and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result?;
    if durability == Durability::PowerLoss { sync_parent(path) } else { Ok(()) }
}

/// Makes the directory entry of `path` (its creation, renaming or removal) durable.
///
/// # Errors
/// Opening or syncing the parent directory failed.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    File::open(parent)?.sync_all()
}

fn write_new(path: &Path, content: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = match create() {
        // Left by a process that had this number before us and died over it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            create()?
        }
        result => result?,
    };
    file.write_all(content)?;
    if durability == Durability::PowerLoss {
        file.sync_all()?;
    }
    Ok(())
}

/// A name beside `path` that no other thread or process uses now.
fn temporary_beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{}.new", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_leaves_the_new_content_and_nothing_else() {
        let directory = std::env::temp_dir().join(format!("base-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("state.json");
        replace(&path, b"one", 0o600, Durability::Processes).unwrap();
        replace(&path, b"two", 0o600, Durability::PowerLoss).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_a_dead_process_of_the_same_number_left_is_no_hindrance() {
        let directory = std::env::temp_dir().join(format!("base-files-old-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("state.json");
        for number in 0..64 {
            let stale = format!(".state.json.{}.{number}.new", std::process::id());
            std::fs::write(directory.join(stale), "half").unwrap();
        }
        replace(&path, b"whole", 0o600, Durability::Processes).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 64);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_failed_replacement_leaves_no_temporary_file() {
        let directory = std::env::temp_dir().join(format!("base-files-dir-{}", std::process::id()));
        let path = directory.join("taken");
        std::fs::create_dir_all(&path).unwrap();
        assert!(replace(&path, b"x", 0o600, Durability::Processes).is_err());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
