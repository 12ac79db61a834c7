//! One link operation that needs no netlink.

use crate::{Result, check};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::os::fd::AsRawFd;

/// Brings up the loopback interface of the calling process' network namespace.
///
/// <https://man7.org/linux/man-pages/man7/netdevice.7.html>
///
/// # Errors
/// The kernel's.
pub fn loopback_up() -> Result<()> {
    /// `struct ifreq` with its flags.
    #[repr(C)]
    struct Request {
        name: [u8; libc::IFNAMSIZ],
        flags: libc::c_short,
        rest: [u8; 22],
    }
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut name = [0; libc::IFNAMSIZ];
    name[..2].copy_from_slice(b"lo");
    let up = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(1);
    let mut request = Request { name, flags: up, rest: [0; 22] };
    // SAFETY: SIOCSIFFLAGS reads a struct ifreq, of which `request` has the layout and size.
    check(unsafe {
        libc::syscall(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request)
    })
    .map(drop)
}
