//! Overlay mounts for kernels whose overlayfs takes all lower layers in one option.
//!
//! `lowerdir+`, one layer at a time, came with Linux 6.8. Before 6.5, fsconfig(2) is a makeshift for
//! overlayfs: it takes any option, gives no string more than 255 bytes, and complains only when the
//! mount is made. What remains is mount(2), whose options together fill a page at most: the layers
//! are named relative to the folder that they have in common, where the caller's thread is
//! meanwhile.

use crate::mount::{Change, mount_setattr};
use crate::{Errno, NamespaceFlags, Result, setns, unshare};
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{MountFlags, OpenTreeFlags, mount, open_tree};
use rustix::process::{chdir, fchdir};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What mount(2) takes of options, the NUL included.
const PAGE: usize = 4096;
const MS_PRIVATE: u64 = 1 << 18;

/// Makes a not yet attached overlay mount of these layers, the topmost first, and the folders that
/// it writes to, if it is to be written to (`upperdir` and `workdir`); `options` are the rest.
///
/// It is made in a mount namespace of its own, so nobody sees it before it is attached. The calling
/// thread joins that namespace and comes back: it must not share its working directory with another
/// (as threads do before they `unshare`), unless nothing else runs in the process.
///
/// # Errors
/// [`Errno::NAMETOOLONG`] where the layers do not fit, else the kernel's.
pub fn detached(
    lower: &[&Path],
    writable: Option<(&Path, &Path)>,
    options: &[&str],
) -> Result<OwnedFd> {
    let [top, ..] = lower else { return Err(Errno::INVAL) };
    let folders = || lower.iter().copied().chain(writable.iter().flat_map(|(a, b)| [*a, *b]));
    let common = common_folder(folders());
    let (flags, options) = flags(options);
    let data = data(common, lower, writable, &options)?;
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = open(".", folder, Mode::empty())?;
    let before = open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    unshare(NamespaceFlags::MOUNT)?;
    let made = make(common, top, flags, &data);
    setns(before.as_fd(), NamespaceFlags::MOUNT)?;
    fchdir(&here)?;
    made
}

fn make(common: &Path, place: &Path, flags: MountFlags, data: &CString) -> Result<OwnedFd> {
    let private = Change { propagation: MS_PRIVATE, ..Change::default() };
    mount_setattr(CWD, c"/", true, private, None)?;
    chdir(common)?;
    mount("overlay", place, "overlay", flags, data.as_c_str())?;
    open_tree(CWD, place, OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE)
}

/// Takes out what every file system is told by mount(2)'s flags; fsconfig(2) has words for it.
fn flags<'a>(options: &[&'a str]) -> (MountFlags, Vec<&'a str>) {
    let mut flags = MountFlags::empty();
    let mut rest = Vec::new();
    for option in options {
        match *option {
            "ro" => flags |= MountFlags::RDONLY,
            "rw" => flags -= MountFlags::RDONLY,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "dirsync" => flags |= MountFlags::DIRSYNC,
            "lazytime" => flags |= MountFlags::LAZYTIME,
            other => rest.push(other),
        }
    }
    (flags, rest)
}

/// The deepest folder that all of these absolute paths are below.
fn common_folder<'a>(mut paths: impl Iterator<Item = &'a Path>) -> &'a Path {
    let root = Path::new("/");
    let first = paths.next().and_then(Path::parent).unwrap_or(root);
    paths.fold(first, |common, path| {
        common
            .ancestors()
            .find(|folder| path != *folder && path.starts_with(folder))
            .unwrap_or(root)
    })
}

fn data(
    common: &Path,
    lower: &[&Path],
    writable: Option<(&Path, &Path)>,
    options: &[&str],
) -> Result<CString> {
    let name =
        |path: &Path| escaped(path.strip_prefix(common).unwrap_or(path).as_os_str().as_bytes());
    let mut data = b"lowerdir=".to_vec();
    data.extend(lower.iter().map(|path| name(path)).collect::<Vec<_>>().join(&b':'));
    if let Some((upper, work)) = writable {
        data.extend([&b",upperdir="[..], &name(upper), b",workdir=", &name(work)].concat());
    }
    for option in options {
        data.push(b',');
        data.extend(option.as_bytes());
    }
    if data.len() >= PAGE {
        return Err(Errno::NAMETOOLONG);
    }
    CString::new(data).map_err(|_| Errno::INVAL)
}

/// What would end a path in overlayfs's options loses its meaning by a backslash.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        if matches!(byte, b':' | b',' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_from_the_folder_that_they_share() {
        let paths = ["/d/s/12/fs", "/d/s/7/fs", "/d/s/13/fs", "/d/s/13/work"].map(Path::new);
        assert_eq!(common_folder(paths.into_iter()), Path::new("/d/s"));
        assert_eq!(common_folder([Path::new("/d/s/1/fs")].into_iter()), Path::new("/d/s/1"));
        assert_eq!(common_folder([Path::new("/a"), Path::new("/b/c")].into_iter()), Path::new("/"));
        let nested = ["/a/b", "/a"].map(Path::new);
        assert_eq!(common_folder(nested.into_iter()), Path::new("/"));
        let data = |lower: &[&Path]| {
            data(Path::new("/d/s"), lower, Some((paths[2], paths[3])), &["index=off"])
        };
        assert_eq!(
            data(&paths[..2]).unwrap().as_bytes(),
            b"lowerdir=12/fs:7/fs,upperdir=13/fs,workdir=13/work,index=off"
        );
        let words = ["ro", "index=off", "sync"];
        assert_eq!(
            flags(&words),
            (MountFlags::RDONLY | MountFlags::SYNCHRONOUS, vec!["index=off"])
        );
        let odd = Path::new("/d/s/a:b,c");
        assert!(data(&[odd]).unwrap().as_bytes().starts_with(br"lowerdir=a\:b\,c,"));
        assert!(data(&[paths[0]; 500]).is_ok());
        assert_eq!(data(&[paths[0]; 700]), Err(Errno::NAMETOOLONG));
    }
}
