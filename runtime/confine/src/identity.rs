//! User, groups, file mode mask.

use crate::{Error, refused};
use base_oci::runtime::User;
use kernel_paths::Procfs;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use std::path::Path;

/// What `setresuid(2)` reads as "no change".
const NO_CHANGE: u32 = u32::MAX;

/// Checks that the ids are ones that a process can have: -1 would leave it what it is, which is root.
///
/// # Errors
/// An id is none.
pub fn check(user: &User) -> Result<(), Error> {
    for (what, id) in [("user id", user.uid), ("group id", user.gid)] {
        if id == NO_CHANGE {
            return Err(Error::Invalid { what, value: id.to_string() });
        }
    }
    Ok(())
}

/// Becomes this user, keeping capabilities until they are set; the calling thread is the only one.
///
/// `setgroups` is left out where a user namespace forbids it, and then the configuration must not
/// name further groups (`user_namespaces(7)`).
///
/// # Errors
/// The kernel's, for ids that the user namespace does not map among others.
pub fn apply(user: &User, may_set_groups: bool) -> Result<(), Error> {
    if let Some(umask) = user.umask {
        rustix::process::umask(Mode::from_raw_mode(umask));
    }
    rustix::thread::set_keep_capabilities(true).map_err(refused("keep capabilities"))?;
    if may_set_groups {
        let groups: Vec<Gid> = user.additional_gids.iter().map(|&id| Gid::from_raw(id)).collect();
        rustix::thread::set_thread_groups(&groups).map_err(refused("set supplementary groups"))?;
    } else if !user.additional_gids.is_empty() {
        let value = format!("{:?}", user.additional_gids);
        return Err(Error::Invalid { what: "supplementary groups without setgroups(2)", value });
    }
    let gid = Gid::from_raw(user.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .map_err(refused(format!("become group {}", user.gid)))?;
    let uid = Uid::from_raw(user.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .map_err(refused(format!("become user {}", user.uid)))?;
    rustix::thread::set_keep_capabilities(false).map_err(refused("keep capabilities"))
}

/// Whether `setgroups(2)` is allowed in the calling process' user namespace.
#[must_use]
pub fn may_set_groups(procfs: &Procfs) -> bool {
    let mut text = [0_u8; 8];
    let Ok(file) = procfs.open_file(Path::new("self/setgroups"), OFlags::RDONLY) else {
        return true;
    };
    !matches!(rustix::io::read(&file, &mut text), Ok(length) if text[..length].starts_with(b"deny"))
}
