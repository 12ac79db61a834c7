//! The files of a cgroup: read, written, counted, removed.

use crate::Error;
use base_oci::runtime::Rdma;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// No file of a cgroup that is read here is longer.
const MAX_FILE: usize = 1 << 20;
/// How often the parents of a new cgroup may be removed under it.
const MAKE_ATTEMPTS: u32 = 16;
/// How long a cgroup's last process may take to leave it after it was waited for.
const REMOVE_ATTEMPTS: u32 = 200;

/// Writes a value to a file of a cgroup.
pub(crate) fn write(folder: &Path, file: &str, value: impl Display) -> Result<(), Error> {
    Knob::open(folder, file)?.write(value)
}

/// As [`write`]; does nothing where this kernel has no such file.
pub(crate) fn write_if_present(
    folder: &Path,
    file: &str,
    value: impl Display,
) -> Result<(), Error> {
    match write(folder, file, value) {
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Writes a value that the kernel may refuse next to another one in force, which is about to change
/// too if `is_followed`. Whether it has to be written again after that one.
pub(crate) fn write_before(
    folder: &Path,
    file: &str,
    value: impl Display,
    is_followed: bool,
) -> Result<bool, Error> {
    match write(folder, file, value) {
        Err(error) if is_followed && error.errno() == Some(Errno::INVAL) => Ok(true),
        result => result.map(|()| false),
    }
}

/// Writes the ceilings of RDMA devices, in the form that both versions have.
pub(crate) fn write_rdma(folder: &Path, devices: &BTreeMap<String, Rdma>) -> Result<(), Error> {
    for (device, limits) in devices {
        let count = |count: Option<u32>| count.map_or_else(|| "max".to_owned(), |n| n.to_string());
        let (handles, objects) = (count(limits.hca_handles), count(limits.hca_objects));
        let value = format!("{device} hca_handle={handles} hca_object={objects}");
        write(folder, "rdma.max", value)?;
    }
    Ok(())
}

/// A file of a cgroup that several values are written to.
pub(crate) struct Knob {
    file: OwnedFd,
    path: PathBuf,
}

impl Knob {
    pub(crate) fn open(folder: &Path, file: &str) -> Result<Self, Error> {
        let path = folder.join(file);
        match rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(Self { file, path }),
            Err(errno) => Err(Error::Refused { step: "open".to_owned(), path, errno }),
        }
    }

    pub(crate) fn write(&self, value: impl Display) -> Result<(), Error> {
        let value = value.to_string();
        rustix::io::retry_on_intr(|| rustix::io::write(&self.file, value.as_bytes()))
            .map(drop)
            .map_err(|errno| Error::Refused {
                step: format!("write {value:?} to"),
                path: self.path.clone(),
                errno,
            })
    }
}

/// Reads a file of a cgroup, without the last newline.
pub(crate) fn read(folder: &Path, file: &str) -> Result<String, Error> {
    let path = folder.join(file);
    let failed = |errno| Error::Refused { step: "read".to_owned(), path: path.clone(), errno };
    let knob =
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let mut bytes = Vec::with_capacity(4096);
    loop {
        let read = rustix::io::retry_on_intr(|| {
            rustix::io::read(&knob, rustix::buffer::spare_capacity(&mut bytes))
        })
        .map_err(failed)?;
        if read == 0 || bytes.len() >= MAX_FILE {
            break;
        }
        bytes.reserve(4096);
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Reads a number; 0 where the file is missing, `u64::MAX` for `max`.
pub(crate) fn number(folder: &Path, file: &str) -> u64 {
    read(folder, file).map_or(0, |text| parse(&text))
}

/// A number of the kernel's; `u64::MAX` for `max`.
pub(crate) fn parse(text: &str) -> u64 {
    let text = text.trim();
    if text == "max" { u64::MAX } else { text.parse().unwrap_or(0) }
}

/// The `key value` lines of a file; none where it is missing.
pub(crate) fn pairs(folder: &Path, file: &str) -> Vec<(String, u64)> {
    let text = read(folder, file).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(key, value)| (key.to_owned(), parse(value)))
        .collect()
}

/// The sizes of huge pages (`2MB`) that the folder has a file for that ends in this.
pub(crate) fn page_sizes(folder: &Path, ending: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(ending)?;
            (!size.contains('.')).then(|| size.to_owned())
        })
        .collect()
}

/// The numbers of a list as `0-3,7` (cpuset(7), "List Format"); none if it is not one.
pub(crate) fn list(text: &str) -> Vec<u16> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// Makes a folder and its missing parents. Whether the folder itself is new.
///
/// A parent may go between two steps: whoever ended the last container below it removes it while
/// it is empty. It is made again then.
pub(crate) fn make(folder: &Path) -> Result<bool, Error> {
    let failed =
        |errno| Error::Refused { step: "make cgroup".to_owned(), path: folder.to_owned(), errno };
    for _ in 0..MAKE_ATTEMPTS {
        match rustix::fs::mkdir(folder, Mode::from_raw_mode(0o755)) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => return Ok(false),
            Err(Errno::NOENT) => {
                make(folder.parent().ok_or(Errno::NOENT).map_err(failed)?)?;
            }
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(failed(Errno::NOENT))
}

/// Fails where a folder that was there before has processes, its own or below.
pub(crate) fn expect_nobody_in(folder: &Path) -> Result<(), Error> {
    match processes(folder) {
        Ok(found) if found.is_empty() => Ok(()),
        Ok(found) => Err(Error::NotEmpty(found.len())),
        // It was removed meanwhile, or is one of v2 that only threads may be in.
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The folders below, deepest first, without the folder itself.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(entries) = std::fs::read_dir(folder) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend(below(&entry.path()));
                found.push(entry.path());
            }
        }
    }
    found
}

/// Removes a folder with those below. A process that has been waited for leaves its cgroup a
/// moment later, so that the kernel answers "busy" for a while.
pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
    let mut waited = 0;
    loop {
        match rustix::fs::rmdir(folder) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) if waited < REMOVE_ATTEMPTS => {
                for inner in below(folder) {
                    let _ = rustix::fs::rmdir(&inner);
                }
                let pause = std::time::Duration::from_micros(100 + 200 * u64::from(waited));
                if waited > 0 {
                    std::thread::sleep(pause);
                }
                waited += 1;
            }
            Err(errno) => {
                return Err(Error::Refused {
                    step: "remove cgroup".to_owned(),
                    path: folder.to_owned(),
                    errno,
                });
            }
        }
    }
}

/// The process ids in a folder's `cgroup.procs`, and in those below.
pub(crate) fn processes(folder: &Path) -> Result<Vec<i32>, Error> {
    let mut pids = Vec::new();
    let mut list = |folder: &Path| -> Result<(), Error> {
        let text = read(folder, "cgroup.procs")?;
        pids.extend(text.lines().filter_map(|line| line.trim().parse::<i32>().ok()));
        Ok(())
    };
    list(folder)?;
    for inner in below(folder) {
        // It may have gone since it was listed.
        let _ = list(&inner);
    }
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_numbers_and_pairs_are_read_and_nonsense_is_zero() {
        assert_eq!(parse("42\n"), 42);
        assert_eq!(parse("max"), u64::MAX);
        assert_eq!(parse("many"), 0);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stat"), "user 3\nsystem 4\nodd\n").unwrap();
        assert_eq!(pairs(folder.path(), "stat"), [("user".into(), 3), ("system".into(), 4)]);
        assert_eq!(number(folder.path(), "missing"), 0);
    }

    #[test]
    fn folders_are_made_with_their_parents_and_removed_with_their_children() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        assert!(make(&folder).unwrap());
        assert!(!make(&folder).unwrap());
        remove(&folder).unwrap();
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }
}
