//! The container's terminal.

use crate::mounts::{attach, clone_descriptor};
use crate::{Error, path, refused};
use kernel_paths::Root;
use rustix::fs::{OFlags, fstatfs};
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
        return Err(refused(step)(rustix::io::Errno::NODEV));
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

/// Shows the terminal as `/dev/console`.
pub(crate) fn bind_console(root: &Root, slave: &OwnedFd) -> Result<(), Error> {
    let step = || "bind /dev/console".to_owned();
    let target = root.create_file(Path::new("/dev/console")).map_err(path(step))?;
    let copy = clone_descriptor(slave, false).map_err(refused(step))?;
    attach(&copy, &target).map_err(refused(step))
}
