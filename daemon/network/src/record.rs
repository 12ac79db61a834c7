//! A network as it is stored and shown.

use crate::{Ipv4Subnet, MacAddress};
use base_ids::{ContainerId, EndpointId, NetworkId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// One network: `<data>/networks/<id>.json`, and what `network inspect` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Version of this form.
    pub version: u32,
    /// The network's name.
    pub name: String,
    /// Its id.
    pub id: NetworkId,
    /// When it was made, RFC 3339 with nanoseconds.
    pub created: String,
    /// `local`.
    pub scope: String,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// Endpoints get IPv4 addresses.
    pub enable_ipv4: bool,
    /// Endpoints get IPv6 addresses.
    pub enable_ipv6: bool,
    /// Where the addresses come from.
    pub ipam: Ipam,
    /// No way out of the network.
    pub internal: bool,
    /// Swarm's flag.
    pub attachable: bool,
    /// Swarm's flag.
    pub ingress: bool,
    /// Driver options, `com.docker.network.bridge.…`.
    pub options: BTreeMap<String, String>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
}

/// Address management of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// `default`.
    pub driver: String,
    /// Driver options; Docker shows `null` where there are none.
    pub options: Option<BTreeMap<String, String>>,
    /// The subnets; Docker shows `null` for `host` and `none`.
    pub config: Vec<IpamConfig>,
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamConfig {
    /// The subnet.
    pub subnet: Ipv4Subnet,
    /// The host's address in it.
    pub gateway: Ipv4Addr,
}

/// How full a network's subnet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressUse {
    /// The subnet.
    pub subnet: Ipv4Subnet,
    /// Addresses of containers, the gateway, and those that the subnet has for itself.
    pub in_use: u64,
    /// Addresses that containers can still have; those of sandboxes made ahead are among them.
    pub available: u64,
}

/// A sandbox's place in a network, for `network inspect`'s `Containers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Whose sandbox it is.
    pub container: ContainerId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Its hardware address; absent in `host` and `none`.
    pub mac: Option<MacAddress>,
    /// Its address with prefix length; absent in `host` and `none`.
    pub ipv4: Option<(Ipv4Addr, u8)>,
}
