//! Hiding paths and making them read-only.

use crate::devices::null_device;
use crate::mounts::{attach, clone_descriptor, make_readonly, new_mount};
use crate::options::Options;
use crate::tree::Tree;
use crate::{Error, refused};
use rustix::fs::{AtFlags, FileType, statat};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Covers files with the null device and folders with an empty read-only tmpfs. All folders share
/// one such tmpfs: a file system costs more than a mount, to make and to destroy.
pub(crate) fn mask(tree: &Tree<'_>, paths: &[PathBuf]) -> Result<(), Error> {
    let mut empty: Option<OwnedFd> = None;
    let mut null: Option<OwnedFd> = None;
    for masked in paths {
        let step = || format!("mask {}", masked.display());
        let Some(target) = tree.existing(masked)? else { continue };
        let stat = statat(&target, "", AtFlags::EMPTY_PATH).map_err(refused(step))?;
        let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match &empty {
                Some(first) => clone_descriptor(first, false).map_err(refused(step))?,
                None => {
                    let options = Options::readonly(tree.mount_label());
                    let made = new_mount("tmpfs", "tmpfs", &options)?;
                    attach(&made, &target).map_err(refused(step))?;
                    // Attached now, so that older kernels clone it too.
                    empty = Some(made);
                    continue;
                }
            }
        } else {
            if null.is_none() {
                null = Some(null_device(tree.root())?);
            }
            let Some(null) = &null else { continue };
            clone_descriptor(null, false).map_err(refused(step))?
        };
        attach(&cover, &target).map_err(refused(step))?;
    }
    Ok(())
}

/// Makes paths read-only by mounting them over themselves.
pub(crate) fn make_paths_readonly(tree: &Tree<'_>, paths: &[PathBuf]) -> Result<(), Error> {
    for readonly in paths {
        let step = || format!("make {} read-only", readonly.display());
        let Some(target) = tree.existing(readonly)? else { continue };
        let copy = clone_descriptor(&target, true).map_err(refused(step))?;
        make_readonly(&copy, true).map_err(refused(step))?;
        attach(&copy, &target).map_err(refused(step))?;
    }
    Ok(())
}
