//! Making one mount, by descriptor.

use crate::options::Options;
use crate::plan::PlannedMount;
use crate::{Error, refused};
use kernel_sys::mount::{Change, attribute, mount_setattr};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_reconfigure, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, fspick, move_mount, open_tree,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Longest value that `fsconfig(2)` takes as a string, its NUL included.
const MAX_STRING: usize = 256;

/// Makes a new, not yet attached mount of a file system.
pub(crate) fn new_mount(fstype: &str, source: &str, options: &Options) -> Result<OwnedFd, Error> {
    match configured(fstype, source, options) {
        // Perhaps only because this kernel's overlayfs is configured in another way.
        Err(Error::Refused { step, errno: Errno::INVAL }) if fstype == "overlay" => {
            old_overlay(options).map_err(refused(|| step))
        }
        result => result,
    }
}

/// Makes a mount by fsopen(2) and fsconfig(2).
fn configured(fstype: &str, source: &str, options: &Options) -> Result<OwnedFd, Error> {
    let step = |what: &str| format!("mount {fstype}: {what}");
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).map_err(refused(|| step("open")))?;
    let name = if source.is_empty() { fstype } else { source };
    set_string(&context, "source", name).map_err(refused(|| step("source")))?;
    for option in &options.data {
        let set = match option.split_once('=') {
            Some(("lowerdir", value)) if fstype == "overlay" => lower_layers(&context, value),
            Some((key, value)) => set_string(&context, key, unquoted(key, value)),
            None => fsconfig_set_flag(&context, option.as_str()),
        };
        set.map_err(refused(|| step(option)))?;
    }
    fsconfig_create(&context).map_err(refused(|| step("create")))?;
    let attributes = u32::try_from(options.change.set).unwrap_or(0);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attributes))
        .map_err(refused(|| step("attributes")))
}

/// A label without the quotes that mount(2) wants around its commas: fsconfig(2) takes it as it is.
fn unquoted<'a>(key: &str, value: &'a str) -> &'a str {
    match key {
        "context" | "fscontext" | "defcontext" | "rootcontext" => value.trim_matches('"'),
        _ => value,
    }
}

/// Sets a string; folders of overlay whose path is too long for one are given by descriptor.
fn set_string(context: &OwnedFd, key: &str, value: &str) -> rustix::io::Result<()> {
    let is_folder = matches!(key, "lowerdir+" | "upperdir" | "workdir");
    if value.len() >= MAX_STRING && is_folder {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(value, flags, Mode::empty())?;
        return fsconfig_set_fd(context, key, &folder);
    }
    fsconfig_set_string(context, key, value)
}

/// Gives overlay its lower layers one by one (Linux 6.8), so that their number is not bounded by
/// the length of one string.
fn lower_layers(context: &OwnedFd, value: &str) -> rustix::io::Result<()> {
    split_layers(value).iter().try_for_each(|layer| set_string(context, "lowerdir+", layer))
}

/// Makes an overlay mount on a kernel that takes all layers at once (Debian 12 has 6.1).
fn old_overlay(options: &Options) -> rustix::io::Result<OwnedFd> {
    let (mut lower, mut upper, mut work, mut rest) = (Vec::new(), None, None, Vec::new());
    for option in &options.data {
        match option.split_once('=') {
            Some(("lowerdir", value)) => {
                lower.extend(split_layers(value).into_iter().map(PathBuf::from));
            }
            Some(("lowerdir+", value)) => lower.push(PathBuf::from(value)),
            Some(("upperdir", value)) => upper = Some(Path::new(value)),
            Some(("workdir", value)) => work = Some(Path::new(value)),
            _ => rest.push(option.as_str()),
        }
    }
    let lower: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
    let mount = kernel_sys::overlay::detached(&lower, upper.zip(work), &rest)?;
    let change = Change { set: options.change.set, ..Change::default() };
    if !change.is_empty() {
        mount_setattr(mount.as_fd(), c"", false, change, None)?;
    }
    Ok(mount)
}

/// Splits at colons; `\:` is a colon of a name.
fn split_layers(value: &str) -> Vec<String> {
    let mut layers = vec![String::new()];
    let mut escaped = false;
    for c in value.chars() {
        let last = layers.last_mut().expect("the list starts with one layer");
        match c {
            '\\' if !escaped => escaped = true,
            ':' if !escaped => layers.push(String::new()),
            _ => {
                last.push(c);
                escaped = false;
            }
        }
    }
    layers
}

/// Makes a not yet attached copy of the mount at a path of the host.
pub(crate) fn clone_path(source: &str, recursive: bool) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE;
    let flags = if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags };
    open_tree(CWD, source, flags).map_err(refused(|| format!("bind {source}")))
}

/// Makes a not yet attached copy of the mount (or of the part of it) behind a descriptor.
pub(crate) fn clone_descriptor(source: impl AsFd, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let flags = if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags };
    open_tree(source, "", flags)
}

/// Changes a bind mount's attributes; nothing of what it covers on the host changes.
pub(crate) fn apply_attributes(mount: impl AsFd, options: &Options) -> rustix::io::Result<()> {
    if !options.change.is_empty() {
        mount_setattr(mount.as_fd(), c"", false, options.change, None)?;
    }
    if !options.recursive.is_empty() {
        mount_setattr(mount.as_fd(), c"", true, options.recursive, None)?;
    }
    Ok(())
}

/// Changes options of the file system of an attached mount; being read-only is the mount's own affair.
pub(crate) fn reconfigure(mount: impl AsFd, options: &Options) -> rustix::io::Result<()> {
    let mut data = options.data.iter().filter(|option| *option != "ro").peekable();
    if data.peek().is_none() {
        return Ok(());
    }
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = fspick(mount, "", flags)?;
    for option in data {
        match option.split_once('=') {
            Some((key, value)) => set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, option.as_str())?,
        }
    }
    fsconfig_reconfigure(&context)
}

/// Changes an attached mount's propagation.
pub(crate) fn apply_propagation(mount: impl AsFd, options: &Options) -> rustix::io::Result<()> {
    for &(propagation, recursive) in &options.propagation {
        change_propagation(&mount, propagation, recursive)?;
    }
    Ok(())
}

/// Changes a mount's propagation to one of `MS_PRIVATE` and so on.
pub(crate) fn change_propagation(
    mount: impl AsFd,
    propagation: u64,
    recursive: bool,
) -> rustix::io::Result<()> {
    let change = Change { propagation, ..Change::default() };
    mount_setattr(mount.as_fd(), c"", recursive, change, None)
}

/// Maps the ids of a mount that is not attached yet by those of a user namespace.
pub(crate) fn map_ids(
    mount: impl AsFd,
    source: &str,
    recursive: bool,
    user_namespace: BorrowedFd<'_>,
) -> Result<(), Error> {
    let change = Change { set: attribute::IDMAP, ..Change::default() };
    mount_setattr(mount.as_fd(), c"", recursive, change, Some(user_namespace)).map_err(|errno| {
        let hint = match errno {
            Errno::INVAL => " (its file system may not allow that on this kernel)",
            _ => "",
        };
        refused(|| format!("map the ids of {source}{hint}"))(errno)
    })
}

/// Attaches a mount on top of what a descriptor names.
pub(crate) fn attach(mount: impl AsFd, target: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

/// Attaches a mount on top of a folder of one that nobody else has been in.
pub(crate) fn attach_at(mount: impl AsFd, parent: impl AsFd, name: &str) -> rustix::io::Result<()> {
    move_mount(mount, "", parent, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Makes a mount read-only.
pub(crate) fn make_readonly(mount: impl AsFd, recursive: bool) -> rustix::io::Result<()> {
    let change = Change { set: attribute::RDONLY, ..Change::default() };
    mount_setattr(mount.as_fd(), c"", recursive, change, None)
}

/// Makes the not yet attached mount of a plan's entry (not of type `cgroup`).
pub(crate) fn detached(mount: &PlannedMount) -> Result<OwnedFd, Error> {
    match mount.options.bind {
        Some(recursive) => {
            let tree = clone_path(&mount.source, recursive)?;
            apply_attributes(&tree, &mount.options).map_err(|errno| {
                let hint = match errno {
                    // mount_namespaces(7), "Restrictions on mount namespaces".
                    Errno::PERM => " (it is locked: what its mount has from outside the user namespace, such as ro or nosuid, cannot be taken off)",
                    _ => "",
                };
                refused(|| format!("change bind of {}{hint}", mount.source))(errno)
            })?;
            Ok(tree)
        }
        None => {
            let tree = new_mount(&mount.fstype, &mount.source, &mount.options)?;
            if !mount.options.recursive.is_empty() {
                mount_setattr(tree.as_fd(), c"", true, mount.options.recursive, None)
                    .map_err(refused(|| format!("change {}", mount.fstype)))?;
            }
            Ok(tree)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_split_at_colons_that_are_not_part_of_a_name() {
        assert_eq!(split_layers("/a:/b\\:c:/d"), ["/a", "/b:c", "/d"]);
        assert_eq!(split_layers("/a"), ["/a"]);
    }
}
