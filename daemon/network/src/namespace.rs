//! Making and unmaking network namespaces.
//!
//! A namespace is made on a thread of its own, which enters it by unsharing and ends when the
//! namespace is finished: no other thread ever changes its namespace. It is kept alive by a bind
//! mount at its path, and dies with all that is in it once that and its processes are gone.

use crate::Error;
use kernel_netlink::route::{Changes, LinkChange, RouteSocket, Veth};
use kernel_sys::{NamespaceFlags, unshare};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// The calling thread's network namespace.
const OWN: &str = "/proc/thread-self/ns/net";
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;

/// At most so often, and so long each time, is waited for a new link.
const RUNNING_GLANCES: usize = 100;
const RUNNING_GLANCE: Duration = Duration::from_millis(1);

/// An interface that a namespace shall have.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    /// Its name inside.
    pub(crate) name: String,
    /// Its partner's name on the host.
    pub(crate) host_name: String,
    /// The bridge that the partner is plugged into, by index.
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    pub(crate) mac: [u8; 6],
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) prefix_length: u8,
    /// The default route, if it goes here.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// Makes a namespace with these interfaces and mounts it at `path`. After a failure nothing is
/// left: what was made dies with the thread.
pub(crate) fn create(path: &Path, interfaces: &[Interface]) -> Result<(), Error> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, || create_here(path, interfaces))
            .map_err(|error| Error::kernel("start a thread", error))?
            .join()
            .unwrap_or_else(|_| Err(Error::kernel("make namespace", io::Error::other("panicked"))))
    })
}

fn create_here(path: &Path, interfaces: &[Interface]) -> Result<(), Error> {
    let netlink = |error| Error::kernel("configure interfaces", io::Error::from(error));
    let mut host = RouteSocket::open().map_err(netlink)?;
    unshare(NamespaceFlags::NETWORK).map_err(|error| Error::kernel("unshare network", error))?;
    if !interfaces.is_empty() {
        let own = File::open(OWN).map_err(|error| Error::file("open", OWN, error))?;
        let mut changes = Changes::new();
        for interface in interfaces {
            changes.add_veth(&Veth {
                name: &interface.host_name,
                bridge: interface.bridge,
                mtu: interface.mtu,
                peer_netns: own.as_fd(),
                peer_name: &interface.name,
                peer_mac: interface.mac,
            });
            changes.set_hairpin(&interface.host_name);
        }
        host.apply(&changes).map_err(netlink)?;
    }
    let mut inside = RouteSocket::open().map_err(netlink)?;
    let mut changes = Changes::new();
    changes.set_link(LOOPBACK, &LinkChange { up: true, ..LinkChange::default() });
    let missing = || Error::kernel("find the new interface", io::ErrorKind::NotFound);
    let mut links = Vec::new();
    for interface in interfaces {
        let link = inside.link(&interface.name).map_err(netlink)?.ok_or_else(missing)?.index;
        links.push(link);
        disable_ipv6(&interface.name);
        changes.add_address(link, interface.ipv4, interface.prefix_length);
        changes.set_link(link, &LinkChange { up: true, ..LinkChange::default() });
        if let Some(gateway) = interface.gateway {
            changes.add_default_route(link, gateway);
        }
    }
    inside.apply(&changes).map_err(netlink)?;
    for (interface, link) in interfaces.iter().zip(links) {
        until_running(&mut inside, &interface.name).map_err(netlink)?;
        until_running(&mut host, &interface.host_name).map_err(netlink)?;
        announce(&mut inside, interface, link).map_err(netlink)?;
    }
    mount(path)
}

/// Mounts the calling thread's network namespace at `path`, as a new file.
pub(crate) fn mount(path: &Path) -> Result<(), Error> {
    File::create_new(path).map_err(|error| Error::file("create", path, error))?;
    mount_bind(OWN, path).map_err(|errno| {
        let _ = std::fs::remove_file(path);
        Error::file("mount namespace at", path, errno.into())
    })
}

/// Unmounts the namespace at `path` and removes the file; one that is gone is no error.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(Error::file("unmount", path, errno.into())),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Whether a namespace is mounted at `path`, not just the file it was mounted on.
pub(crate) fn is_mounted(path: &Path) -> bool {
    /// `NSFS_MAGIC` (linux/magic.h).
    const NSFS: i64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|status| status.f_type == NSFS)
}

/// In a network without IPv6, Docker switches it off on the interface. A kernel without IPv6 has
/// no such file.
fn disable_ipv6(interface: &str) {
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1");
}

/// Waits until packets can pass. A pair that has just been switched on loses them until the kernel
/// has seen to it, which it does in the background, or (since Linux 6.7) before it answers us. The
/// container's first packet would be lost, and come again after a second.
fn until_running(routes: &mut RouteSocket, name: &str) -> Result<(), kernel_netlink::Error> {
    for _ in 0..RUNNING_GLANCES {
        if routes.link(name)?.is_none_or(|link| link.running) {
            return Ok(());
        }
        std::thread::sleep(RUNNING_GLANCE);
    }
    Ok(())
}

/// Tells the neighbours who has the address now; they may remember somebody else. With
/// `arp_notify` the kernel does that whenever the hardware address is set.
fn announce(
    inside: &mut RouteSocket,
    interface: &Interface,
    link: u32,
) -> Result<(), kernel_netlink::Error> {
    let option = format!("/proc/sys/net/ipv4/conf/{}/arp_notify", interface.name);
    if std::fs::write(&option, "1").is_err() {
        return Ok(());
    }
    let mut changes = Changes::new();
    changes.set_link(link, &LinkChange { mac: Some(interface.mac), ..LinkChange::default() });
    inside.apply(&changes)?;
    let _ = std::fs::write(&option, "0");
    Ok(())
}
