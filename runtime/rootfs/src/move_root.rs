//! What is left of the host where the root is moved over its own instead of being pivoted to.
//!
//! The host's mounts then stay in the container's mount namespace, below its root: out of reach, but
//! counted by the kernel, which lets a user namespace mount a procfs or sysfs where one is to be seen
//! whole (`mount_too_revealing` in the kernel's `fs/namespace.c`). So a process inside could have one
//! without what is masked.

use crate::mounts::{attach, new_mount};
use crate::options::{MS_SLAVE, Options};
use crate::{Error, path, refused};
use kernel_paths::Root;
use kernel_sys::mount::{Change, mount_setattr};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Takes away, in this mount namespace, the host's mounts of a whole procfs or sysfs; covers those that
/// a user namespace may not take away.
pub(crate) fn hide_kernel_mounts(root: &Root) -> Result<(), Error> {
    let step = || "read /proc/self/mountinfo".to_owned();
    let table = std::fs::read("/proc/self/mountinfo")
        .map_err(|error| refused(step)(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let root = statx(root, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .map_err(refused(|| "look at the root's mount".to_owned()))?
        .stx_mnt_id;
    let mut covered = Vec::new();
    for place in whole_kernel_mounts(&table, root) {
        // One cover hides all that are on top of each other, and could be taken away itself.
        if !covered.contains(&place) && hide(&place)? == Hidden::Covered {
            covered.push(place);
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Hidden {
    Gone,
    Covered,
}

fn hide(place: &Path) -> Result<Hidden, Error> {
    let step = || format!("hide the host's {}", place.display());
    let name = CString::new(place.as_os_str().as_encoded_bytes())
        .map_err(|_| refused(step)(Errno::INVAL))?;
    // So that the host keeps it.
    let change = Change { propagation: MS_SLAVE, ..Change::default() };
    match mount_setattr(CWD, &name, true, change, None) {
        // It went with the one that it was in.
        Err(Errno::NOENT | Errno::INVAL) => return Ok(Hidden::Gone),
        result => result.map_err(refused(step))?,
    }
    match unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Err(Errno::INVAL | Errno::PERM) => {
            let cover = new_mount("tmpfs", "tmpfs", &Options::default())?;
            let target = Root::open_trusted(place).map_err(path(step))?;
            attach(&cover, &target).map_err(refused(step)).map(|()| Hidden::Covered)
        }
        result => result.map_err(refused(step)).map(|()| Hidden::Gone),
    }
}

/// The places of whole procfs and sysfs mounts that are not in the mount `root`, in the order of the
/// table (`proc_pid_mountinfo(5)`).
fn whole_kernel_mounts(table: &[u8], root: u64) -> Vec<PathBuf> {
    let lines: Vec<Line> = table.split(|byte| *byte == b'\n').filter_map(Line::read).collect();
    let parents: BTreeMap<u64, u64> = lines.iter().map(|line| (line.id, line.parent)).collect();
    let is_inside = |mut id: u64| {
        // The topmost one is its own parent, or has one that is not listed.
        for _ in 0..parents.len() {
            match parents.get(&id) {
                _ if id == root => return true,
                Some(parent) => id = *parent,
                None => return false,
            }
        }
        id == root
    };
    let wanted = |line: &Line| line.is_whole_kernel_mount && !is_inside(line.id);
    lines.into_iter().filter(wanted).map(|line| line.place).collect()
}

struct Line {
    id: u64,
    parent: u64,
    place: PathBuf,
    is_whole_kernel_mount: bool,
}

impl Line {
    fn read(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
        let (id, parent) = (number()?, number()?);
        let part = fields.nth(1)?;
        let place = PathBuf::from(OsString::from_vec(unescaped(fields.next()?)));
        let fstype = fields.skip_while(|field| *field != b"-").nth(1)?;
        let is_whole_kernel_mount = part == b"/" && matches!(fstype, b"proc" | b"sysfs");
        Some(Self { id, parent, place, is_whole_kernel_mount })
    }
}

/// Blanks and the like are written as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_mounts_outside_the_root_are_found() {
        let table = b"20 1 0:2 / / rw - ext4 /dev/vda rw\n\
            21 20 0:5 / /proc rw,nosuid shared:3 - proc proc rw\n\
            22 20 0:6 / /a\\040b/sys rw - sysfs sysfs rw\n\
            23 20 0:5 /bus /part rw - proc proc rw\n\
            24 20 0:7 / /tmp rw - tmpfs tmpfs rw\n\
            32 31 0:9 / /bundle/rootfs/proc rw - proc proc rw\n\
            31 20 0:8 / /bundle/rootfs rw - ext4 /dev/vda rw\n";
        assert_eq!(whole_kernel_mounts(table, 31), [Path::new("/proc"), Path::new("/a b/sys")]);
    }
}
