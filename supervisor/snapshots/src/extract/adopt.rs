//! Settles what a layer takes from the layers below it.

use super::Summary;
use super::attributes::is_ordinary;
use super::error::ExtractError;
use super::tree::{self, open_beneath, open_in};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Gives implied directories the attributes that the layers below have for them, and copies up
/// the targets of hard links into those layers. `lower` is nearest first.
///
/// # Errors
/// A hard link's target is in no layer, or the kernel refuses a step.
pub fn adopt(summary: &Summary, upper: &OwnedFd, lower: &[PathBuf]) -> Result<(), ExtractError> {
    if summary.implicit.is_empty() && summary.missing_links.is_empty() {
        return Ok(());
    }
    let lower = lower
        .iter()
        .map(|path| {
            rustix::fs::openat(
                rustix::fs::CWD,
                path,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ExtractError::entry("open the layer below", b"", error))?;
    let mut copies: HashMap<&[u8], &[u8]> = HashMap::new();
    for (path, target) in &summary.missing_links {
        let wrap = |error: Errno| ExtractError::entry("make hard link", path, error);
        // Others of the target's names were brought up already, or are links like this one.
        let above = copies.get(&target[..]).copied().unwrap_or(target);
        if !link_above(upper, path, above).map_err(wrap)? {
            link_from_below(upper, &lower, path, target)?;
            copies.insert(target, path);
        }
    }
    // Children first: giving a child its attributes leaves its parent's times alone, but making
    // a link above did not.
    for path in summary.implicit.iter().rev() {
        copy_directory_attributes(upper, &lower, path)
            .map_err(|error| ExtractError::entry("take over the attributes of", path, error))?;
    }
    Ok(())
}

/// What one lower layer says of a path.
enum Found {
    /// It has it: the parent's descriptor and what it is.
    Here(OwnedFd, Stat),
    /// It says nothing; ask the next layer.
    Absent,
    /// It hides whatever the layers below it have.
    Hidden,
}

fn find(lower: &[OwnedFd], path: &[u8]) -> Result<Option<(OwnedFd, Stat)>, Errno> {
    for layer in lower {
        match look(layer, path)? {
            Found::Here(parent, stat) => return Ok(Some((parent, stat))),
            Found::Absent => {}
            Found::Hidden => return Ok(None),
        }
    }
    Ok(None)
}

/// Walks `path` in one layer without following anything, as overlayfs looks names up.
fn look(layer: &OwnedFd, path: &[u8]) -> Result<Found, Errno> {
    let mut directory = open_in(layer, b"")?;
    let mut hidden = false;
    let mut rest = path.split(|byte| *byte == b'/').peekable();
    while let Some(name) = rest.next() {
        let stat = match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                return Ok(if hidden { Found::Hidden } else { Found::Absent });
            }
            Err(error) => return Err(error),
        };
        if tree::is_whiteout(&stat) {
            return Ok(Found::Hidden);
        }
        if rest.peek().is_none() {
            return Ok(Found::Here(directory, stat));
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(Found::Hidden);
        }
        directory = open_beneath(&directory, name)?;
        hidden |= is_opaque(directory.as_fd());
    }
    Ok(Found::Absent)
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0_u8; 1];
    matches!(rustix::fs::fgetxattr(directory, "trusted.overlay.opaque", &mut value[..]), Ok(1))
        && value == *b"y"
}

fn copy_directory_attributes(upper: &OwnedFd, lower: &[OwnedFd], path: &[u8]) -> Result<(), Errno> {
    let Some((parent, stat)) = find(lower, path)? else { return Ok(()) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        // The new directory replaces something else.
        return Ok(());
    }
    let from = open_beneath(&parent, split(path).1)?;
    let to = match open_in(upper, path) {
        Ok(to) => to,
        // A later entry replaced it.
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error),
    };
    copy_attributes(from.as_fd(), to.as_fd(), &stat)
}

fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(to, Some(uid), Some(gid))?;
    copy_xattrs(from, to)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    rustix::fs::futimens(to, &times(stat))
}

fn times(stat: &Stat) -> Timestamps {
    let of = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    Timestamps {
        last_access: of(stat.st_atime, stat.st_atime_nsec.cast_signed()),
        last_modification: of(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
    }
}

fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut value = vec![0_u8; 64 << 10];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if !is_ordinary(name) {
            continue;
        }
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

/// Links `path` to what this layer has as `target`; false if that is no file.
fn link_above(upper: &OwnedFd, path: &[u8], target: &[u8]) -> Result<bool, Errno> {
    let (target_parent, target_name) = split(target);
    let from = match open_in(upper, target_parent) {
        Ok(from) => from,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        Err(error) => return Err(error),
    };
    match rustix::fs::statat(&from, target_name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error),
    }
    let (parent, name) = split(path);
    let to = open_in(upper, parent)?;
    tree::remove_all(&to, name)?;
    rustix::fs::linkat(&from, target_name, &to, name, AtFlags::empty())?;
    Ok(true)
}

/// Parent and last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Copies the target up into this layer under the link's name, content and attributes. (That it
/// was one inode with its target is lost, as it is whenever overlayfs copies up.)
fn link_from_below(
    upper: &OwnedFd,
    lower: &[OwnedFd],
    path: &[u8],
    target: &[u8],
) -> Result<(), ExtractError> {
    let wrap = |error: Errno| ExtractError::entry("make hard link", path, error);
    let (parent, stat) = find(lower, target).map_err(wrap)?.ok_or_else(|| wrap(Errno::NOENT))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(wrap(Errno::NOTSUP));
    }
    let (_, target_name) = split(target);
    let from = rustix::fs::openat(
        &parent,
        target_name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(wrap)?;
    let (directory, name) = split(path);
    let directory = open_in(upper, directory).map_err(wrap)?;
    tree::remove_all(&directory, name).map_err(wrap)?;
    let to = rustix::fs::openat(
        &directory,
        name,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o600),
    )
    .map_err(wrap)?;
    let (mut from, mut to) = (std::fs::File::from(from), std::fs::File::from(to));
    std::io::copy(&mut from, &mut to)
        .map_err(|error| ExtractError::entry("copy the target of", path, error))?;
    copy_attributes(from.as_fd(), to.as_fd(), &stat).map_err(wrap)
}
