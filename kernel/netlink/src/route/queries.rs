//! What the kernel tells about links, addresses and routes.

use super::changes::IFLA_IFNAME;
use super::ipv4;
use crate::wire::{attribute, text, u32_at, u64_at};
use std::net::Ipv4Addr;

const IFLA_ADDRESS: u16 = 1;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
/// `IF_OPER_UP`.
const OPERATIONAL: u8 = 6;
const IFLA_IFALIAS: u16 = 20;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_STATS64: u16 = 23;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RT_TABLE_MAIN: u8 = 254;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its alias, a free text.
    pub alias: Option<String>,
    /// `bridge`, `veth`, …; absent for hardware.
    pub kind: Option<String>,
    /// The bridge that it is plugged into, by index.
    pub master: Option<u32>,
    /// Whether packets can pass: it is on, its partner too, and the kernel has taken note.
    pub running: bool,
    /// Its hardware address, where it has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// What went through it.
    pub counters: LinkCounters,
}

/// What went through a link, as seen from its own side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Packets dropped on receipt.
    pub rx_dropped: u64,
    /// Packets dropped when sent.
    pub tx_dropped: u64,
}

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link's index.
    pub link: u32,
    /// The address.
    pub address: Ipv4Addr,
    /// The prefix length of its subnet.
    pub prefix_length: u8,
}

/// An address of a link in either family, as the kernel writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The link's index.
    pub link: u32,
    /// `AF_INET` or `AF_INET6`.
    pub(super) family: u8,
    /// The address.
    pub(super) local: Vec<u8>,
    /// The other end's, on a link with two ends.
    pub(super) peer: Option<Vec<u8>>,
    /// The broadcast address.
    pub(super) broadcast: Option<Vec<u8>>,
    /// The prefix length of its subnet.
    pub prefix_length: u8,
    /// Whether somebody set it for good: not learned, without an end.
    pub is_permanent: bool,
    /// Whether it is valid beyond the link.
    pub is_global: bool,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub destination: Ipv4Addr,
    /// The destination's prefix length.
    pub prefix_length: u8,
    /// The link that it leaves by, 0 for none.
    pub link: u32,
}

pub(super) fn link(payload: &[u8]) -> Option<Link> {
    let body = payload.get(16..)?;
    Some(Link {
        index: u32_at(payload, 4)?,
        name: text(attribute(body, IFLA_IFNAME)?),
        alias: attribute(body, IFLA_IFALIAS).map(text),
        kind: attribute(body, IFLA_LINKINFO)
            .and_then(|info| attribute(info, IFLA_INFO_KIND))
            .map(text),
        master: attribute(body, IFLA_MASTER).and_then(|master| u32_at(master, 0)),
        running: attribute(body, IFLA_OPERSTATE).is_some_and(|state| state == [OPERATIONAL]),
        mac: attribute(body, IFLA_ADDRESS).and_then(|mac| mac.try_into().ok()),
        counters: attribute(body, IFLA_STATS64).and_then(counters).unwrap_or_default(),
    })
}

/// `struct rtnl_link_stats64`: its first eight fields.
fn counters(stats: &[u8]) -> Option<LinkCounters> {
    let field = |index: usize| u64_at(stats, index * 8);
    Some(LinkCounters {
        rx_packets: field(0)?,
        tx_packets: field(1)?,
        rx_bytes: field(2)?,
        tx_bytes: field(3)?,
        rx_errors: field(4)?,
        tx_errors: field(5)?,
        rx_dropped: field(6)?,
        tx_dropped: field(7)?,
    })
}

pub(super) fn address(payload: &[u8]) -> Option<Address> {
    let body = payload.get(8..)?;
    let address = attribute(body, IFA_LOCAL).or_else(|| attribute(body, IFA_ADDRESS))?;
    Some(Address {
        link: u32_at(payload, 4)?,
        address: ipv4(address)?,
        prefix_length: *payload.get(1)?,
    })
}

pub(super) fn interface_address(payload: &[u8]) -> Option<InterfaceAddress> {
    /// `IFA_F_PERMANENT`.
    const PERMANENT: u32 = 0x80;
    let body = payload.get(8..)?;
    let bytes = |kind| attribute(body, kind).map(<[u8]>::to_vec);
    let peer = bytes(IFA_ADDRESS);
    let flags = attribute(body, IFA_FLAGS).and_then(|flags| u32_at(flags, 0));
    Some(InterfaceAddress {
        link: u32_at(payload, 4)?,
        family: *payload.first()?,
        local: bytes(IFA_LOCAL).or_else(|| peer.clone())?,
        peer,
        broadcast: bytes(IFA_BROADCAST),
        prefix_length: *payload.get(1)?,
        is_permanent: flags.unwrap_or(u32::from(*payload.get(2)?)) & PERMANENT != 0,
        // `RT_SCOPE_UNIVERSE`.
        is_global: *payload.get(3)? == 0,
    })
}

pub(super) fn route(payload: &[u8]) -> Option<Route> {
    let body = payload.get(12..)?;
    if *payload.get(4)? != RT_TABLE_MAIN {
        return None;
    }
    Some(Route {
        destination: attribute(body, RTA_DST).map_or(Some(Ipv4Addr::UNSPECIFIED), ipv4)?,
        prefix_length: *payload.get(1)?,
        link: attribute(body, RTA_OIF).and_then(|link| u32_at(link, 0)).unwrap_or(0),
    })
}
