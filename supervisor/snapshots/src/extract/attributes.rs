//! Owner, mode, times and extended attributes of what an entry made.

use super::archive::{Entry, Mtime};
use super::error::ExtractError;
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Gives an open file its attributes. Mode after owner, because chown(2) clears set-id bits;
/// capabilities after owner, because it clears them too.
pub(super) fn set_on_file(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), ExtractError> {
    let wrap = |step| move |error: Errno| ExtractError::entry(step, &entry.name, error);
    rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
        .map_err(wrap("set the owner of"))?;
    for (name, value) in usable(entry) {
        match rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()) {
            Err(error) if !ignorable(error) => {
                return Err(wrap("set an extended attribute of")(error));
            }
            _ => {}
        }
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode)).map_err(wrap("set the mode of"))
}

/// Sets the times of an open file.
pub(super) fn set_times(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), ExtractError> {
    rustix::fs::futimens(file, &timestamps(entry.mtime))
        .map_err(|error| ExtractError::entry("set the times of", &entry.name, error))
}

/// Gives a name that cannot be opened (link, device, pipe) its attributes, times included.
pub(super) fn set_on_name(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    is_link: bool,
) -> Result<(), ExtractError> {
    let wrap = |step| move |error: Errno| ExtractError::entry(step, &entry.name, error);
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(wrap("set the owner of"))?;
    for (attribute, value) in usable(entry) {
        match rustix::fs::lsetxattr(
            through_proc(directory, name),
            attribute,
            value,
            XattrFlags::empty(),
        ) {
            // user.* exists on files and directories only (xattr(7)): EPERM.
            Err(error) if !ignorable(error) && error != Errno::PERM => {
                return Err(wrap("set an extended attribute of")(error));
            }
            _ => {}
        }
    }
    if !is_link {
        // Not a link, and nobody else works in this directory: nothing is followed.
        let mode = Mode::from_raw_mode(entry.mode);
        rustix::fs::chmodat(directory, name, mode, AtFlags::empty())
            .map_err(wrap("set the mode of"))?;
    }
    set_times_on_name(directory, name, entry.mtime).map_err(wrap("set the times of"))
}

/// Sets the times of a name, never following it.
pub(super) fn set_times_on_name(
    directory: BorrowedFd<'_>,
    name: &[u8],
    mtime: Mtime,
) -> Result<(), Errno> {
    rustix::fs::utimensat(directory, name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// The attributes that an archive may set.
fn usable(entry: &Entry) -> impl Iterator<Item = (&[u8], &[u8])> {
    entry
        .xattrs
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
        .filter(|(name, _)| is_ordinary(name))
}

/// Whether an extended attribute may cross from or into a layer. What means something to overlayfs
/// may not: a layer could point into others with `trusted.overlay.redirect`, or with
/// `user.overlay.redirect` in a mount without privileges. Nor may the rest of `trusted.*`, which is
/// for the host's administrator (containerd sets none either).
pub(super) fn is_ordinary(name: &[u8]) -> bool {
    !name.starts_with(b"trusted.") && !name.starts_with(b"user.overlay.")
}

/// A file system without extended attributes gets the file without them, as in containerd.
fn ignorable(error: Errno) -> bool {
    error == Errno::NOTSUP || error == Errno::OPNOTSUPP
}

/// A path to a name that can only be reached through its directory's descriptor.
pub(super) fn through_proc(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}

fn timestamps(mtime: Mtime) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds };
    Timestamps { last_access: time, last_modification: time }
}
