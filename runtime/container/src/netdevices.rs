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
            .map_err(|reason| Error::NetDevice { name: name.clone(), reason })?;
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
) -> Result<(), String> {
    let text = |error: kernel_netlink::Error| error.to_string();
    let missing = || format!("there is no {name}");
    let link = outside.link(name).map_err(text)?.ok_or_else(missing)?;
    if inside.link(inner_name).map_err(text)?.is_some() {
        // The kernel may find out only when it has moved the device.
        return Err(format!("there is a {inner_name} in the container already"));
    }
    // Before they are lost.
    let addresses = outside.interface_addresses(link.index).map_err(text)?;
    let mut changes = Changes::new();
    // The kernel switches it off once nothing can fail any more: what cannot move stays as it was.
    // Renamed by the same message: under its old name it might meet another there.
    changes.move_link(link.index, network, inner_name);
    outside.apply(&changes).map_err(text)?;
    let index = inside.link(inner_name).map_err(text)?.ok_or_else(missing)?.index;
    let mut changes = Changes::new();
    for address in addresses.iter().filter(|address| address.is_permanent && address.is_global) {
        changes.add_interface_address(index, address);
    }
    changes.set_link_up(index);
    inside.apply(&changes).map_err(text)
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
