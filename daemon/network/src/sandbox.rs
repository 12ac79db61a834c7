//! Sandboxes: what is asked for, what is given, and its record on disk.

use base_ids::{ContainerId, EndpointId, NetworkId};
use kernel_netlink::route::LinkCounters;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// A hardware address, shown as `02:42:ac:11:00:02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// A text that is no hardware address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {0}: invalid MAC address")]
pub struct InvalidMacAddress(String);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = InvalidMacAddress;
    fn from_str(text: &str) -> Result<Self, InvalidMacAddress> {
        let wrong = || InvalidMacAddress(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidMacAddress;
    fn try_from(text: String) -> Result<Self, InvalidMacAddress> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

/// A transport protocol whose ports can be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The name in `80/tcp`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A sandbox that is wanted.
#[derive(Clone, Debug)]
pub struct SandboxRequest {
    /// The owner; one sandbox each.
    pub id: ContainerId,
    /// The owner's name, for error texts that Docker words with it.
    pub name: String,
    /// The networks to be in, first one first: it becomes `eth0` and the default route. None at
    /// all gives a loopback interface only.
    pub endpoints: Vec<EndpointRequest>,
    /// Ports to publish.
    pub ports: Vec<PortRequest>,
}

/// One network that a sandbox shall be in.
#[derive(Clone, Debug)]
pub struct EndpointRequest {
    /// Which.
    pub network: NetworkId,
    /// A fixed address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed hardware address.
    pub mac: Option<MacAddress>,
}

/// A port to publish.
#[derive(Clone, Debug)]
pub struct PortRequest {
    /// The port inside.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address; absent means the daemon's `--ip`, and where that is all addresses, those
    /// of IPv6 too.
    pub host_ip: Option<IpAddr>,
    /// The host's port, or a range to take the first free one from; absent means any of the
    /// ephemeral range.
    pub host_port: Option<RangeInclusive<u16>>,
}

/// A sandbox that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Version of this form.
    pub version: u32,
    /// The owner.
    pub id: ContainerId,
    /// Docker's `SandboxID`: 64 hexadecimal digits.
    pub sandbox_id: String,
    /// Docker's `SandboxKey`: where the network namespace is mounted. In the `host` network this
    /// is the daemon's own namespace.
    pub netns: PathBuf,
    /// Whether `netns` is the daemon's own namespace.
    pub host: bool,
    /// Its places in networks, in the order of the request.
    pub endpoints: Vec<Endpoint>,
    /// Its published ports, in the order of the request; IPv4 comes before IPv6.
    pub ports: Vec<PublishedPort>,
}

/// A sandbox's place in a network. `host` and `none` give no interface and no address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The endpoint's id.
    pub endpoint_id: EndpointId,
    /// The network's id.
    pub network_id: NetworkId,
    /// The network's name.
    pub network_name: String,
    /// The interface inside: `eth0`.
    pub interface: Option<String>,
    /// Its partner on the host.
    pub host_interface: Option<String>,
    /// Its address.
    pub ipv4: Option<Ipv4Addr>,
    /// The subnet's prefix length; 0 without an address.
    pub prefix_length: u8,
    /// The default route.
    pub gateway: Option<Ipv4Addr>,
    /// Its hardware address.
    pub mac: Option<MacAddress>,
}

/// A port that is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The port inside.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
}

/// What went through one of a sandbox's interfaces, as seen from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// `eth0`.
    pub interface: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Packets dropped on receipt.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Packets dropped when sent.
    pub tx_dropped: u64,
}

impl InterfaceCounters {
    /// What the host's end of a pair received, the other end has sent.
    pub(crate) fn from_host_side(interface: &str, host: &LinkCounters) -> Self {
        Self {
            interface: interface.to_owned(),
            rx_bytes: host.tx_bytes,
            rx_packets: host.tx_packets,
            rx_errors: host.tx_errors,
            rx_dropped: host.tx_dropped,
            tx_bytes: host.rx_bytes,
            tx_packets: host.rx_packets,
            tx_errors: host.rx_errors,
            tx_dropped: host.rx_dropped,
        }
    }
}

/// A random hardware address, locally administered and not a group's.
pub(crate) fn random_mac() -> MacAddress {
    let mut bytes: [u8; 6] = random_bytes();
    bytes[0] = bytes[0] & 0xfc | 0x02;
    MacAddress(bytes)
}

/// A new sandbox id, of the same form as a container's.
pub(crate) fn random_sandbox_id() -> String {
    ContainerId::random().into()
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // So few bytes come whole and uninterrupted once the kernel's generator is ready (getrandom(2)).
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .expect("every kernel with namespaces has getrandom");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_round_trip_and_bad_ones_are_refused() {
        let text = "02:42:ac:11:00:02";
        assert_eq!(text.parse::<MacAddress>().unwrap().to_string(), text);
        for bad in ["", "02:42", "02:42:ac:11:00:0g", "02:42:ac:11:00:02:03", "2:42:ac:11:0:2"] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }
}
