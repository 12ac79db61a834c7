//! The content that a new volume starts with: what the image has at the mount point.

use crate::view::{RootView, ViewError};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Folders deeper than this are not copied: the image is hostile, our stack is not endless.
const MAX_DEPTH: usize = 256;
/// Files with several names whose copies are held open, waiting for the other names. A further one
/// becomes a file of its own: descriptors are few, and the image is hostile.
const MAX_LINKS: usize = 128;
/// Largest extended attribute (the kernel's own bound).
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// Copies what `path` holds in the root file system into an empty folder, with owners, modes,
/// times, links, nodes and extended attributes. Nothing at `path` is nothing to copy.
///
/// # Errors
/// The source cannot be read or the target not written; part of it may be there then.
pub fn copy_up(view: &RootView, path: &Path, target: &Path) -> Result<(), ViewError> {
    let source = match view.root().open(path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(source) => source,
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let failed = |source: io::Error| ViewError::Read { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::open(target, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    if !is_empty(target.as_fd()).map_err(failed)? {
        return Ok(());
    }
    let mut copy = Copy::default();
    copy.folder(&source, &target, MAX_DEPTH).map_err(failed)
}

/// Whether a folder has no entries.
fn is_empty(folder: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(names(folder)?.is_empty())
}

fn names(folder: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() != b"." && name.as_bytes() != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[derive(Default)]
struct Copy {
    /// Files with several names, by device and inode.
    links: HashMap<(u64, u64), Linked>,
}

/// The copy of a file with several names.
struct Linked {
    copy: OwnedFd,
    /// How many of them have not been seen yet.
    missing: u64,
}

impl Copy {
    fn folder(&mut self, source: &OwnedFd, target: &OwnedFd, depth: usize) -> io::Result<()> {
        if depth == 0 {
            return Err(io::Error::other("folders are nested too deeply"));
        }
        for name in names(source.as_fd())? {
            self.entry(source, target, &name, depth)?;
        }
        let stat = rustix::fs::fstat(source)?;
        attributes(source, target)?;
        finish(target, &stat)
    }

    fn entry(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        name: &CStr,
        depth: usize,
    ) -> io::Result<()> {
        let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let open = |folder: &OwnedFd, flags| {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(target, name, Mode::from_raw_mode(0o700))?;
                let inner = open(source, OFlags::RDONLY | OFlags::DIRECTORY)?;
                let copy = open(target, OFlags::RDONLY | OFlags::DIRECTORY)?;
                self.folder(&inner, &copy, depth - 1)
            }
            FileType::RegularFile => {
                let identity = (stat.st_dev, stat.st_ino);
                if let Some(first) = self.links.get_mut(&identity) {
                    rustix::fs::linkat(&first.copy, c"", target, name, AtFlags::EMPTY_PATH)?;
                    first.missing -= 1;
                    if first.missing == 0 {
                        self.links.remove(&identity);
                    }
                    return Ok(());
                }
                let from = open(source, OFlags::RDONLY | OFlags::NONBLOCK)?;
                let to = open(target, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
                let (mut from, mut to) = (File::from(from), File::from(to));
                io::copy(&mut from, &mut to)?;
                let (from, to) = (OwnedFd::from(from), OwnedFd::from(to));
                attributes(&from, &to)?;
                finish(&to, &stat)?;
                if stat.st_nlink > 1 && self.links.len() < MAX_LINKS {
                    let missing = stat.st_nlink - 1;
                    self.links.insert(identity, Linked { copy: to, missing });
                }
                Ok(())
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(source, name, Vec::new())?;
                rustix::fs::symlinkat(link.as_c_str(), target, name)?;
                own(target, name, &stat)
            }
            kind @ (FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice) => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                rustix::fs::mknodat(target, name, kind, mode, stat.st_rdev)?;
                own(target, name, &stat)?;
                Ok(rustix::fs::chmodat(target, name, mode, AtFlags::empty())?)
            }
            // A socket in an image leads nowhere.
            _ => Ok(()),
        }
    }
}

fn own(folder: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    Ok(rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Owner first, since changing it clears the set-user-id bit; times last.
fn finish(target: &OwnedFd, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(target, Some(uid), Some(gid))?;
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode))?;
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or_default(),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::futimens(target, &times)?)
}

/// Copies user attributes and file capabilities; others belong to the file system they are on.
fn attributes(source: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let mut list = vec![0_u8; MAX_ATTRIBUTE];
    let length = match rustix::fs::flistxattr(source, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in list[..length].split(|byte| *byte == 0) {
        if !name.starts_with(b"user.") && name != b"security.capability" {
            continue;
        }
        let mut value = vec![0_u8; MAX_ATTRIBUTE];
        let length = rustix::fs::fgetxattr(source, name, &mut value[..])?;
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::fsetxattr(target, name, &value[..length], flags) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Layers;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_folder_is_copied_with_links_modes_and_nothing_from_outside() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        std::fs::create_dir_all(data.join("in")).unwrap();
        std::fs::write(data.join("in/file"), "x").unwrap();
        std::fs::hard_link(data.join("in/file"), data.join("again")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", data.join("link")).unwrap();
        std::fs::set_permissions(data.join("in/file"), PermissionsExt::from_mode(0o4711)).unwrap();
        let target = tempfile::tempdir().unwrap();
        let source = root.path().display().to_string();
        let view = RootView::open(&Layers::of_mount("bind", &source, &[]).unwrap()).unwrap();
        copy_up(&view, Path::new("/data"), target.path()).unwrap();
        let file = std::fs::metadata(target.path().join("in/file")).unwrap();
        assert_eq!(file.permissions().mode() & 0o7777, 0o4711);
        assert_eq!(file.ino(), std::fs::metadata(target.path().join("again")).unwrap().ino());
        let link = std::fs::read_link(target.path().join("link")).unwrap();
        assert_eq!(link, Path::new("/etc/passwd"));
    }

    #[test]
    fn files_with_names_elsewhere_do_not_use_up_the_descriptors() {
        let (root, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (inside, elsewhere) = (root.path().join("in"), root.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&elsewhere).unwrap();
        for number in 0..MAX_LINKS + 9 {
            let name = number.to_string();
            std::fs::write(inside.join(&name), "x").unwrap();
            std::fs::hard_link(inside.join(&name), elsewhere.join(&name)).unwrap();
        }
        let open = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            rustix::fs::open(path, flags, Mode::empty()).unwrap()
        };
        let mut copy = Copy::default();
        copy.folder(&open(&inside), &open(target.path()), 9).unwrap();
        assert_eq!(copy.links.len(), MAX_LINKS);
        assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), MAX_LINKS + 9);
    }

    #[test]
    fn a_folder_that_has_something_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("new"), "x").unwrap();
        let target = tempfile::tempdir().unwrap();
        std::fs::write(target.path().join("old"), "y").unwrap();
        let source = root.path().display().to_string();
        let view = RootView::open(&Layers::of_mount("bind", &source, &[]).unwrap()).unwrap();
        copy_up(&view, Path::new("/"), target.path()).unwrap();
        assert!(!target.path().join("new").exists());
    }
}
