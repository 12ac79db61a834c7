//! Changes to links, addresses and routes.

use super::{
    AF_INET, DELETE_ADDRESS, DELETE_LINK, InterfaceAddress, NEW_ADDRESS, NEW_LINK, NEW_ROUTE,
    SET_LINK,
};
use crate::wire::{ACK, Attributes, CREATE, EXCLUSIVE, Messages, REQUEST};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_TXQLEN: u16 = 13;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const AF_INET6: u16 = 10;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

/// A list of changes, applied by [`super::RouteSocket::apply`].
#[derive(Debug, Default)]
pub struct Changes {
    messages: Messages,
    descriptions: Vec<String>,
}

/// A virtual Ethernet pair whose far end is in another namespace.
#[derive(Clone, Copy, Debug)]
pub struct Veth<'a> {
    /// The near end's name.
    pub name: &'a str,
    /// The bridge to plug the near end into, by index.
    pub bridge: u32,
    /// The maximum packet size of both ends.
    pub mtu: u32,
    /// The far end's namespace.
    pub peer_netns: BorrowedFd<'a>,
    /// The far end's name.
    pub peer_name: &'a str,
    /// The far end's hardware address.
    pub peer_mac: [u8; 6],
}

/// What to change about a link.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkChange<'a> {
    /// Switch it on.
    pub up: bool,
    /// Its maximum packet size.
    pub mtu: Option<u32>,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// Its alias.
    pub alias: Option<&'a str>,
    /// The bridge to plug it into, by index.
    pub master: Option<u32>,
}

impl Changes {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn messages(&self) -> &Messages {
        &self.messages
    }

    pub(super) fn len(&self) -> usize {
        self.descriptions.len()
    }

    pub(super) fn describe(&self, sequence: u32) -> &str {
        usize::try_from(sequence)
            .ok()
            .and_then(|index| self.descriptions.get(index))
            .map_or("netlink", String::as_str)
    }

    /// Creates a bridge that is up.
    pub fn add_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) {
        let what = format!("create bridge {name}");
        self.push(what, NEW_LINK, CREATE | EXCLUSIVE, &link_header(0, true), |attributes| {
            attributes.text(IFLA_IFNAME, name);
            attributes.bytes(IFLA_ADDRESS, &mac);
            attributes.native_u32(IFLA_MTU, mtu);
            attributes.nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"));
        });
    }

    /// Creates a veth pair; the near end is up on the bridge, and sends packets back where they
    /// came from when asked to (hairpin: a container that calls its own published port). Neither
    /// end gets an IPv6 address by itself.
    pub fn add_veth(&mut self, veth: &Veth<'_>) {
        let what = format!("create veth {}", veth.name);
        self.push(what, NEW_LINK, CREATE | EXCLUSIVE, &link_header(0, true), |attributes| {
            attributes.text(IFLA_IFNAME, veth.name);
            attributes.native_u32(IFLA_MTU, veth.mtu);
            // As Docker's: nothing waits in a queue of a virtual link.
            attributes.native_u32(IFLA_TXQLEN, 0);
            attributes.native_u32(IFLA_MASTER, veth.bridge);
            attributes.nested(IFLA_LINKINFO, |info| {
                info.text(IFLA_INFO_KIND, "veth");
                info.nested(IFLA_INFO_DATA, |data| {
                    data.headed(VETH_INFO_PEER, &link_header(0, false), |peer| {
                        peer.text(IFLA_IFNAME, veth.peer_name);
                        peer.native_u32(IFLA_MTU, veth.mtu);
                        peer.native_u32(IFLA_TXQLEN, 0);
                        peer.bytes(IFLA_ADDRESS, &veth.peer_mac);
                        let netns = veth.peer_netns.as_raw_fd().cast_unsigned();
                        peer.native_u32(IFLA_NET_NS_FD, netns);
                    });
                });
            });
        });
    }

    /// Lets a bridge's port send packets back where they came from.
    pub fn set_hairpin(&mut self, name: &str) {
        let what = format!("set hairpin mode of {name}");
        self.push(what, NEW_LINK, 0, &link_header(0, false), |attributes| {
            attributes.text(IFLA_IFNAME, name);
            attributes.nested(IFLA_LINKINFO, |info| {
                info.text(IFLA_INFO_SLAVE_KIND, "bridge");
                info.nested(IFLA_INFO_SLAVE_DATA, |data| data.byte(IFLA_BRPORT_MODE, 1));
            });
        });
    }

    /// Keeps the kernel from giving a link IPv6 addresses of its own accord.
    pub fn set_no_automatic_ipv6(&mut self, name: &str) {
        let what = format!("set IPv6 address mode of {name}");
        self.push(what, SET_LINK, 0, &link_header(0, false), |attributes| {
            attributes.text(IFLA_IFNAME, name);
            attributes.nested(IFLA_AF_SPEC, |families| {
                families.nested(AF_INET6, |inet6| {
                    inet6.byte(IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE);
                });
            });
        });
    }

    /// Changes a link, by index.
    pub fn set_link(&mut self, index: u32, change: &LinkChange<'_>) {
        let header = link_header(index, change.up);
        self.push(format!("set link {index}"), SET_LINK, 0, &header, |attributes| {
            if let Some(mtu) = change.mtu {
                attributes.native_u32(IFLA_MTU, mtu);
            }
            if let Some(mac) = change.mac {
                attributes.bytes(IFLA_ADDRESS, &mac);
            }
            if let Some(alias) = change.alias {
                attributes.bytes(IFLA_IFALIAS, alias.as_bytes());
            }
            if let Some(master) = change.master {
                attributes.native_u32(IFLA_MASTER, master);
            }
        });
    }

    /// Takes an address from a link.
    pub fn delete_address(&mut self, link: u32, address: Ipv4Addr, prefix_length: u8) {
        let what = format!("delete address {address}/{prefix_length}");
        let header = address_header(link, prefix_length);
        self.push(what, DELETE_ADDRESS, 0, &header, |attributes| {
            attributes.bytes(IFA_LOCAL, &address.octets());
        });
    }

    /// Switches a link on, by index.
    pub fn set_link_up(&mut self, index: u32) {
        self.push(
            format!("switch link {index} on"),
            SET_LINK,
            0,
            &link_header(index, true),
            |_| (),
        );
    }

    /// Moves a link into another namespace, where it has this name and is off.
    pub fn move_link(&mut self, index: u32, netns: BorrowedFd<'_>, name: &str) {
        let what = format!("move link {index} to another namespace as {name}");
        self.push(what, SET_LINK, 0, &link_header(index, false), |attributes| {
            attributes.text(IFLA_IFNAME, name);
            attributes.native_u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
        });
    }

    /// Gives a link an address that another had, of either family.
    pub fn add_interface_address(&mut self, link: u32, address: &InterfaceAddress) {
        let mut header = [0; 8];
        header[0] = address.family;
        header[1] = address.prefix_length;
        header[4..].copy_from_slice(&link.to_ne_bytes());
        let what = format!("add address {:?}/{}", address.local, address.prefix_length);
        self.push(what, NEW_ADDRESS, CREATE | EXCLUSIVE, &header, |attributes| {
            let parts = [
                (IFA_LOCAL, Some(&address.local)),
                (IFA_ADDRESS, address.peer.as_ref().or(Some(&address.local))),
                (IFA_BROADCAST, address.broadcast.as_ref()),
            ];
            for (kind, bytes) in parts {
                if let Some(bytes) = bytes {
                    attributes.bytes(kind, bytes);
                }
            }
        });
    }

    /// Deletes a link, by index.
    pub fn delete_link(&mut self, index: u32) {
        let header = link_header(index, false);
        self.push(format!("delete link {index}"), DELETE_LINK, 0, &header, |_| ());
    }

    /// Gives a link an address.
    pub fn add_address(&mut self, link: u32, address: Ipv4Addr, prefix_length: u8) {
        let header = address_header(link, prefix_length);
        let what = format!("add address {address}/{prefix_length}");
        self.push(what, NEW_ADDRESS, CREATE | EXCLUSIVE, &header, |attributes| {
            attributes.bytes(IFA_LOCAL, &address.octets());
            attributes.bytes(IFA_ADDRESS, &address.octets());
            if prefix_length < 31 {
                let host_bits = u32::MAX >> prefix_length;
                let broadcast = address.to_bits() | host_bits;
                attributes.bytes(IFA_BROADCAST, &broadcast.to_be_bytes());
            }
        });
    }

    /// Adds the default route by `gateway`.
    pub fn add_default_route(&mut self, link: u32, gateway: Ipv4Addr) {
        let header = [AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0];
        let what = format!("add default route by {gateway}");
        self.push(what, NEW_ROUTE, CREATE | EXCLUSIVE, &header, |attributes| {
            attributes.native_u32(RTA_OIF, link);
            attributes.bytes(RTA_GATEWAY, &gateway.octets());
        });
    }

    fn push(
        &mut self,
        description: String,
        kind: u16,
        flags: u16,
        header: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let sequence = u32::try_from(self.descriptions.len()).expect("a list of changes is short");
        self.messages.push(kind, REQUEST | ACK | flags, sequence, header, fill);
        self.descriptions.push(description);
    }
}

/// `struct ifaddrmsg`.
fn address_header(link: u32, prefix_length: u8) -> [u8; 8] {
    let mut header = [0; 8];
    header[0] = AF_INET;
    header[1] = prefix_length;
    header[4..].copy_from_slice(&link.to_ne_bytes());
    header
}

/// `struct ifinfomsg`.
fn link_header(index: u32, up: bool) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        header[8..12].copy_from_slice(&IFF_UP.to_ne_bytes());
        header[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    }
    header
}
