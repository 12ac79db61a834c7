//! The default network's bridge on the host.

use crate::record::NetworkRecord;
use crate::{AddressPool, Error, Ipv4Subnet, NetworksConfig};
use kernel_netlink::route::{Address, Changes, Link, LinkChange, Route, RouteSocket};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Name of the bridge option in a network's record.
pub(crate) const NAME_OPTION: &str = "com.docker.network.bridge.name";
/// More daemons than this on one machine find no name.
const BRIDGES: usize = 100;

/// So many digits of a sandbox's id are in the names of its links.
pub(crate) const LINK_DIGITS: usize = 10;

/// How the host's ends of a sandbox's interfaces begin; at most 15 characters with the number of
/// the interface behind it (IFNAMSIZ).
pub(crate) fn host_name_prefix(digits: &str) -> String {
    format!("gv{digits}")
}

/// A bridge that is up and has its address.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) name: String,
    pub(crate) subnet: Ipv4Subnet,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) mtu: u32,
    /// Containers remember the gateway's hardware address.
    mac: [u8; 6],
    alias: String,
    ip_forward: bool,
    /// Its index; another one once it had to be made again.
    index: AtomicU32,
    /// By which links are looked up; also held while the bridge is made again.
    probe: Mutex<OwnedFd>,
}

impl Bridge {
    /// Finds or makes the bridge; `earlier` is the network as it was before a restart.
    pub(crate) fn set_up(
        config: &NetworksConfig,
        earlier: Option<&NetworkRecord>,
    ) -> Result<Self, Error> {
        let mut routes = RouteSocket::open().map_err(|e| Error::kernel("open rtnetlink", e))?;
        let failed = |step: &str| {
            let step = step.to_owned();
            move |error: kernel_netlink::Error| Error::kernel(step, error)
        };
        let alias = format!("gantry:{}", config.data_root.display());
        let link = find_or_create(&mut routes, config, &alias)?;
        let addresses = routes.addresses().map_err(failed("list addresses"))?;
        let own: Vec<&Address> = addresses.iter().filter(|a| a.link == link.index).collect();
        let (gateway, prefix_length) = match (config.bip, own.first()) {
            (Some(bip), _) => bip,
            (None, Some(address)) => (address.address, address.prefix_length),
            (None, None) => {
                let list = routes.routes().map_err(failed("list routes"))?;
                let taken = taken_subnets(&addresses, &list);
                let subnet = choose_subnet(&taken, &config.default_address_pools, earlier)?;
                (subnet.first_host(), subnet.prefix_length())
            }
        };
        let mut changes = Changes::new();
        if config.bip.is_some() && config.bridge.is_none() {
            // An earlier --bip would stay the first, and so the source of what the host sends.
            let wanted = (gateway, prefix_length);
            for old in own.iter().filter(|a| (a.address, a.prefix_length) != wanted) {
                changes.delete_address(link.index, old.address, old.prefix_length);
            }
        }
        if !own.iter().any(|a| (a.address, a.prefix_length) == (gateway, prefix_length)) {
            changes.add_address(link.index, gateway, prefix_length);
        }
        let change = LinkChange { up: true, mtu: Some(config.mtu), ..LinkChange::default() };
        changes.set_link(link.index, &change);
        routes.apply(&changes).map_err(failed("set up bridge"))?;
        set_kernel_options(&link.name, config.ip_forward)?;
        Ok(Self {
            index: AtomicU32::new(link.index),
            subnet: Ipv4Subnet::containing(gateway, prefix_length),
            gateway,
            mtu: config.mtu,
            mac: link.mac.unwrap_or_else(|| crate::sandbox::random_mac().0),
            name: link.name,
            alias,
            ip_forward: config.ip_forward,
            probe: Mutex::new(probe().map_err(|errno| Error::kernel("open a socket", errno))?),
        })
    }

    /// Its index in the kernel.
    pub(crate) fn index(&self) -> u32 {
        self.index.load(Ordering::Acquire)
    }

    /// Whether the kernel still has it, and not another of its name.
    pub(crate) fn is_there(&self) -> bool {
        let probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        name_to_index(&*probe, &self.name).is_ok_and(|index| index == self.index())
    }

    /// Makes it again, after somebody has deleted it, and plugs these links into it.
    pub(crate) fn restore(&self, links: &[String]) -> Result<(), Error> {
        let probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        if name_to_index(&*probe, &self.name).is_ok_and(|index| index == self.index()) {
            // Another thread was quicker.
            return Ok(());
        }
        let failed = |error| Error::kernel(format!("make bridge {} again", self.name), error);
        let mut routes = RouteSocket::open().map_err(failed)?;
        let link = match routes.link(&self.name).map_err(failed)? {
            Some(link) => link,
            None => {
                create(&mut routes, &self.name, self.mac, self.mtu, &self.alias).map_err(failed)?
            }
        };
        let mut changes = Changes::new();
        let prefix_length = self.subnet.prefix_length();
        let addresses = routes.addresses().map_err(failed)?;
        if !addresses.iter().any(|a| (a.link, a.address) == (link.index, self.gateway)) {
            changes.add_address(link.index, self.gateway, prefix_length);
        }
        changes.set_link(link.index, &LinkChange { up: true, ..LinkChange::default() });
        for name in links {
            let Some(end) = routes.link(name).map_err(failed)? else { continue };
            let master = Some(link.index);
            changes.set_link(end.index, &LinkChange { up: true, master, ..LinkChange::default() });
            changes.set_hairpin(name);
        }
        routes.apply(&changes).map_err(failed)?;
        set_kernel_options(&self.name, self.ip_forward)?;
        self.index.store(link.index, Ordering::Release);
        Ok(())
    }

    /// Deletes the bridge.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let mut changes = Changes::new();
        changes.delete_link(self.index());
        let deleted = RouteSocket::open().and_then(|mut routes| routes.apply(&changes));
        match deleted {
            // Somebody else has.
            Err(error) if error.os_error() == Errno::NODEV.raw_os_error() => Ok(()),
            result => result.map_err(|e| Error::kernel(format!("delete bridge {}", self.name), e)),
        }
    }
}

/// A socket of this network namespace.
fn probe() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
}

/// A bridge carries the data root of its daemon as its alias, so that several daemons on one
/// machine each find their own.
fn find_or_create(
    routes: &mut RouteSocket,
    config: &NetworksConfig,
    alias: &str,
) -> Result<Link, Error> {
    let failed = |error| Error::kernel("create bridge", io::Error::from(error));
    // Without an address of its own, a bridge's would change with its ports.
    let mac = crate::sandbox::random_mac().0;
    let links = routes.links().map_err(failed)?;
    let exists = |name: &str| links.iter().find(|link| link.name == name);
    if let Some(name) = &config.bridge {
        return match exists(name) {
            Some(link) => Ok(link.clone()),
            None => create(routes, name, mac, config.mtu, alias).map_err(failed),
        };
    }
    if let Some(own) = links.iter().find(|link| link.alias.as_deref() == Some(alias)) {
        return Ok(own.clone());
    }
    let names = (0..BRIDGES).map(|number| format!("gantry{number}"));
    for name in names.filter(|name| exists(name).is_none()) {
        match create(routes, &name, mac, config.mtu, alias) {
            // Another daemon was quicker.
            Err(error) if error.io_kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map_err(failed),
        }
    }
    Err(Error::kernel("create bridge", io::ErrorKind::AlreadyExists))
}

fn create(
    routes: &mut RouteSocket,
    name: &str,
    mac: [u8; 6],
    mtu: u32,
    alias: &str,
) -> Result<Link, kernel_netlink::Error> {
    let mut changes = Changes::new();
    changes.add_bridge(name, mac, mtu);
    routes.apply(&changes)?;
    let link = routes.link(name)?.ok_or(kernel_netlink::Error::Malformed("bridge is gone"))?;
    let mut changes = Changes::new();
    changes.set_link(link.index, &LinkChange { alias: Some(alias), ..LinkChange::default() });
    routes.apply(&changes)?;
    Ok(link)
}

fn taken_subnets(addresses: &[Address], routes: &[Route]) -> Vec<Ipv4Subnet> {
    let from_addresses = addresses
        .iter()
        .map(|address| Ipv4Subnet::containing(address.address, address.prefix_length));
    let from_routes = routes
        .iter()
        .filter(|route| route.prefix_length > 0)
        .map(|route| Ipv4Subnet::containing(route.destination, route.prefix_length));
    from_addresses.chain(from_routes).collect()
}

/// The subnet of before if it is still free, else the pools' first that is.
fn choose_subnet(
    taken: &[Ipv4Subnet],
    pools: &[AddressPool],
    earlier: Option<&NetworkRecord>,
) -> Result<Ipv4Subnet, Error> {
    let free = |subnet: &Ipv4Subnet| !taken.iter().any(|other| other.overlaps(subnet));
    let earlier =
        earlier.and_then(|network| network.ipam.config.first()).map(|config| config.subnet);
    if let Some(subnet) = earlier.filter(free) {
        return Ok(subnet);
    }
    let docker = docker_pools();
    let pools = if pools.is_empty() { &docker } else { pools };
    let mut subnets = pools.iter().flat_map(|pool| pool.base.divide(pool.size));
    subnets.find(free).ok_or(Error::NoSubnetLeft)
}

/// Docker's pools for local networks (moby `libnetwork/ipamutils`).
fn docker_pools() -> Vec<AddressPool> {
    [
        ([172, 17, 0, 0], 16, 16),
        ([172, 18, 0, 0], 16, 16),
        ([172, 19, 0, 0], 16, 16),
        ([172, 20, 0, 0], 14, 16),
        ([172, 24, 0, 0], 14, 16),
        ([172, 28, 0, 0], 14, 16),
        ([192, 168, 0, 0], 16, 20),
    ]
    .map(|(base, length, size)| AddressPool {
        base: Ipv4Subnet::containing(Ipv4Addr::from(base), length),
        size,
    })
    .to_vec()
}

/// Forwarding for all; on the bridge, loopback sources may be routed (guarded by the packet
/// filter's first rules), so that published ports answer on 127.0.0.1; no IPv6 on it.
fn set_kernel_options(bridge: &str, ip_forward: bool) -> Result<(), Error> {
    if ip_forward {
        set_option("/proc/sys/net/ipv4/ip_forward")?;
    }
    set_option(&format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet"))?;
    // Absent in a kernel without IPv6.
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6"), "1");
    Ok(())
}

/// Sets a kernel option to 1; where that is so already, a read-only `/proc/sys` will do.
fn set_option(path: &str) -> Result<(), Error> {
    if fs::read_to_string(path).is_ok_and(|value| value.trim() == "1") {
        return Ok(());
    }
    fs::write(path, "1").map_err(|error| Error::file("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Ipv4Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_subnet_that_nothing_overlaps_is_chosen() {
        let taken = [subnet("172.17.0.0/16"), subnet("172.16.0.0/15"), subnet("172.18.5.0/24")];
        assert_eq!(choose_subnet(&taken, &[], None).unwrap(), subnet("172.19.0.0/16"));
        let all_of_172 = [subnet("172.16.0.0/12")];
        assert_eq!(choose_subnet(&all_of_172, &[], None).unwrap(), subnet("192.168.0.0/20"));
        let everything = [subnet("128.0.0.0/1")];
        assert!(matches!(choose_subnet(&everything, &[], None), Err(Error::NoSubnetLeft)));
    }

    #[test]
    fn pools_of_the_user_replace_those_of_docker() {
        let pools = [AddressPool { base: subnet("10.9.0.0/16"), size: 24 }];
        let taken = [subnet("10.9.0.0/24")];
        assert_eq!(choose_subnet(&taken, &pools, None).unwrap(), subnet("10.9.1.0/24"));
    }
}
