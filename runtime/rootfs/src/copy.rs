//! `tmpcopyup`: a tmpfs that starts with what it hides.

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fstat, mkdirat, openat,
    readlinkat, sendfile, symlinkat,
};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Deepest folder that is copied: images are hostile, and each level holds two descriptors.
const MAX_DEPTH: usize = 64;

/// Copies folders, files and links; device files, sockets and fifos are left out.
pub(crate) fn copy_tree(from: &OwnedFd, to: &OwnedFd, depth: usize) -> rustix::io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    let readable = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let listing = openat(from, ".", readable | OFlags::DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&listing)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match entry.file_type() {
            FileType::Directory => {
                let source = openat(from, name, readable | OFlags::DIRECTORY, Mode::empty())?;
                mkdirat(to, name, Mode::from_raw_mode(0o700))?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let target = openat(to, name, flags, Mode::empty())?;
                copy_tree(&source, &target, depth + 1)?;
                copy_owner(&source, &target)?;
            }
            FileType::RegularFile => {
                let source = openat(from, name, readable, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let target = openat(to, name, flags, Mode::from_raw_mode(0o600))?;
                while sendfile(&target, &source, None, 1 << 20)? > 0 {}
                copy_owner(&source, &target)?;
            }
            FileType::Symlink => {
                let link = readlinkat(from, name, Vec::new())?;
                symlinkat(link.as_c_str(), to, name)?;
                let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
                or_unmapped(chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Gives `to` the owner and the permissions of `from`.
fn copy_owner(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    copy_owner_but(from, to, &[])
}

/// The same but for what the options of the mount `to` say themselves: `mode`, `uid`, `gid`.
pub(crate) fn copy_owner_but(
    from: &OwnedFd,
    to: &OwnedFd,
    options: &[String],
) -> rustix::io::Result<()> {
    let is_open = |name| !options.iter().any(|option| option.starts_with(name));
    let stat = fstat(from)?;
    let uid = is_open("uid=").then(|| Uid::from_raw(stat.st_uid));
    let gid = is_open("gid=").then(|| Gid::from_raw(stat.st_gid));
    or_unmapped(rustix::fs::fchown(to, uid, gid))?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    if is_open("mode=") { fchmod(to, mode) } else { Ok(()) }
}

/// An owner whom the user namespace does not know (user_namespaces(7)) cannot be given: the copy
/// stays root's.
fn or_unmapped(given: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match given {
        Err(Errno::INVAL) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_tree_is_copied_with_its_permissions_and_links() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::create_dir_all(from.join("a/b")).unwrap();
        std::fs::create_dir(&to).unwrap();
        std::fs::write(from.join("a/b/file"), "content").unwrap();
        std::fs::set_permissions(from.join("a"), std::fs::Permissions::from_mode(0o2750)).unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        let open = |path| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            rustix::fs::open(path, flags, Mode::empty()).unwrap()
        };
        copy_tree(&open(&from), &open(&to), 0).unwrap();
        assert_eq!(std::fs::read(to.join("a/b/file")).unwrap(), b"content");
        assert_eq!(to.join("a").metadata().unwrap().permissions().mode() & 0o7777, 0o2750);
        assert_eq!(std::fs::read_link(to.join("link")).unwrap().to_str(), Some("/nowhere"));
    }
}
