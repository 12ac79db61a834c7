//! The container's terminal.

use crate::mounts::{attach, clone_descriptor};
use crate::{Error, path, refused};
use kernel_paths::Root;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstatfs, openat, statat};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::os::fd::OwnedFd;
use std::path::Path;

const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Opens a terminal of the container's devpts: master and slave.
pub(crate) fn open_terminal(
    root: &Root,
    size: Option<(u16, u16)>,
) -> Result<(OwnedFd, OwnedFd), Error> {
    let step = || "open a terminal".to_owned();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = root.open(Path::new("/dev/pts/ptmx"), flags).map_err(path(step))?;
    // An image's file of that name is not a terminal multiplexer.
    let kind = fstatfs(&master).map_err(refused(step))?;
    if u64::try_from(kind.f_type) != Ok(DEVPTS_SUPER_MAGIC) {
        return Err(refused(step)(Errno::NODEV));
    }
    unlockpt(&master).map_err(refused(step))?;
    let slave =
        ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .map_err(refused(step))?;
    if let Some((ws_row, ws_col)) = size {
        let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).map_err(refused(|| "set the terminal's size".to_owned()))?;
    }
    Ok((master, slave))
}

/// Shows the terminal as `/dev/console`, which must not be a link: it could lead to a file that
/// others rely on (CVE-2025-52565).
pub(crate) fn bind_console(root: &Root, slave: &OwnedFd) -> Result<(), Error> {
    let step = || "bind /dev/console".to_owned();
    let (directory, name) = root.create_parent(Path::new("/dev/console")).map_err(path(step))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match openat(&directory, &name, flags, Mode::from_raw_mode(0o620)) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(refused(step)(errno)),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(&directory, &name, flags, Mode::empty()).map_err(refused(step))?;
    let found = statat(&target, "", AtFlags::EMPTY_PATH).map_err(refused(step))?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
        return Err(refused(step)(Errno::LOOP));
    }
    let copy = clone_descriptor(slave, false).map_err(refused(step))?;
    attach(&copy, &target).map_err(refused(step))
}
