//! Network devices of the host that move into a container (runtime-spec, `netDevices`).
//!
//! Moving takes a device's addresses away, so the global ones are noted before and given back
//! after. A device that is hardware comes back to the host with the namespace's end.

use crate::error::Error;
use crate::namespaces::Return;
use base_oci::runtime::{NamespaceKind, NetDevice};
use kernel_netlink::route::{Changes, RouteSocket};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

/// `IFNAMSIZ` without the terminator.
const MAX_NAME: usize = 15;

/// Checks the names, those outside and those inside.
pub(crate) fn check(devices: &BTreeMap<String, NetDevice>) -> Result<(), Error> {
    let is_wrong = |name: &str| {
        let forbidden = |c: char| matches!(c, '/' | ':') || c.is_whitespace();
        name.is_empty()
            || name.len() > MAX_NAME
            || matches!(name, "." | "..")
            || name.contains(forbidden)
    };
    for (name, device) in devices {
        for name in [name.as_str(), inner_name(name, device)] {
            if is_wrong(name) {
                return Err(Error::Configuration(format!("invalid network device name {name:?}")));
            }
        }
    }
    Ok(())
}

/// Moves the devices into a network namespace, with their names and their addresses there.
pub(crate) fn move_in(
    devices: &BTreeMap<String, NetDevice>,
    network: BorrowedFd<'_>,
) -> Result<(), Error> {
    let inside = open_inside(network)?;
    let mut sockets = (open()?, inside);
    for (name, device) in devices {
        move_one(&mut sockets, name, inner_name(name, device), network)
            .map_err(|error| Error::NetDevice { name: name.clone(), reason: error.to_string() })?;
    }
    Ok(())
}

fn inner_name<'a>(name: &'a str, device: &'a NetDevice) -> &'a str {
    if device.name.is_empty() { name } else { &device.name }
}

fn move_one(
    (outside, inside): &mut (RouteSocket, RouteSocket),
    name: &str,
    inner_name: &str,
    network: BorrowedFd<'_>,
) -> Result<(), kernel_netlink::Error> {
    let missing = || kernel_netlink::Error::Malformed("no such network device");
    let link = outside.link(name)?.ok_or_else(missing)?;
    // Before it is switched off, which takes those of IPv6.
    let addresses = outside.interface_addresses(link.index)?;
    let mut changes = Changes::new();
    changes.set_link_down(link.index);
    // Renamed by the same message: under its old name it might meet another there.
    changes.move_link(link.index, network, inner_name);
    outside.apply(&changes)?;
    let index = inside.link(inner_name)?.ok_or_else(missing)?.index;
    let mut changes = Changes::new();
    for address in addresses.iter().filter(|address| address.is_permanent && address.is_global) {
        changes.add_interface_address(index, address);
    }
    changes.set_link_up(index);
    inside.apply(&changes)
}

fn open() -> Result<RouteSocket, Error> {
    RouteSocket::open().map_err(|error| Error::Configuration(format!("network devices: {error}")))
}

/// A socket keeps the namespace in which it was opened.
fn open_inside(network: BorrowedFd<'_>) -> Result<RouteSocket, Error> {
    let mut back = Return::default();
    back.join(NamespaceKind::Network, network)?;
    let opened = open();
    back.back()?;
    opened
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_device_can_have_are_refused() {
        let devices = |name: &str, inner: &str| {
            BTreeMap::from([(name.to_owned(), NetDevice { name: inner.to_owned() })])
        };
        assert!(check(&devices("eth0", "")).is_ok());
        assert!(check(&devices("eth0", "net1")).is_ok());
        for (name, inner) in
            [("", ""), ("a/b", ""), ("eth0", "a name"), ("eth0", "sixteen-letters-")]
        {
            assert!(check(&devices(name, inner)).is_err(), "{name:?} {inner:?}");
        }
    }
}
