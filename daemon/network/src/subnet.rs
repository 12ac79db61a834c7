//! IPv4 subnets in CIDR notation.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network address and its prefix length; the host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Subnet {
    base: u32,
    prefix_length: u8,
}

/// A text that is no IPv4 subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid subnet {0:?}: not an IPv4 address, a slash and a prefix length")]
pub struct InvalidSubnet(String);

impl Ipv4Subnet {
    /// The subnet of `prefix_length` that `address` is in.
    ///
    /// # Panics
    /// A prefix length above 32.
    #[must_use]
    pub fn containing(address: Ipv4Addr, prefix_length: u8) -> Self {
        assert!(prefix_length <= 32, "an IPv4 prefix has at most 32 bits");
        Self { base: address.to_bits() & mask(prefix_length), prefix_length }
    }

    /// The network address.
    #[must_use]
    pub const fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base)
    }

    /// The address with all host bits set.
    #[must_use]
    pub const fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base | !mask(self.prefix_length))
    }

    /// How many bits the network has.
    #[must_use]
    pub const fn prefix_length(&self) -> u8 {
        self.prefix_length
    }

    /// The first address after the network's own, Docker's choice of gateway.
    #[must_use]
    pub const fn first_host(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.wrapping_add(1))
    }

    /// Whether `address` is in the subnet.
    #[must_use]
    pub const fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix_length) == self.base
    }

    /// Whether the two have an address in common.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        let shorter = if self.prefix_length < other.prefix_length {
            self.prefix_length
        } else {
            other.prefix_length
        };
        self.base & mask(shorter) == other.base & mask(shorter)
    }

    /// The subnets of `prefix_length` inside this one, in order.
    pub fn divide(self, prefix_length: u8) -> impl Iterator<Item = Self> {
        let bits = prefix_length.saturating_sub(self.prefix_length).min(24);
        let valid = prefix_length >= self.prefix_length && prefix_length <= 32;
        let count = if valid { 1_u32 << bits } else { 0 };
        (0..count).map(move |index| Self {
            base: self.base | index.checked_shl(u32::from(32 - prefix_length)).unwrap_or(0),
            prefix_length,
        })
    }
}

const fn mask(prefix_length: u8) -> u32 {
    if prefix_length == 0 { 0 } else { u32::MAX << (32 - prefix_length) }
}

impl fmt::Display for Ipv4Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix_length)
    }
}

impl FromStr for Ipv4Subnet {
    type Err = InvalidSubnet;
    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let wrong = || InvalidSubnet(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let length: u8 = length.parse().map_err(|_| wrong())?;
        if length > 32 {
            return Err(wrong());
        }
        Ok(Self::containing(address, length))
    }
}

impl TryFrom<String> for Ipv4Subnet {
    type Error = InvalidSubnet;
    fn try_from(text: String) -> Result<Self, InvalidSubnet> {
        text.parse()
    }
}

impl From<Ipv4Subnet> for String {
    fn from(subnet: Ipv4Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Ipv4Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn host_bits_are_cleared_and_the_edges_known() {
        let net = subnet("172.17.5.9/16");
        assert_eq!(net.to_string(), "172.17.0.0/16");
        assert_eq!(net.first_host(), Ipv4Addr::new(172, 17, 0, 1));
        assert_eq!(net.broadcast(), Ipv4Addr::new(172, 17, 255, 255));
    }

    #[test]
    fn overlap_is_symmetric_and_sees_containment() {
        let (wide, narrow, other) =
            (subnet("172.16.0.0/12"), subnet("172.17.0.0/16"), subnet("10.0.0.0/8"));
        assert!(wide.overlaps(&narrow) && narrow.overlaps(&wide));
        assert!(!wide.overlaps(&other) && !other.overlaps(&wide));
        assert!(subnet("0.0.0.0/0").overlaps(&other));
    }

    #[test]
    fn a_range_divides_into_subnets_in_order() {
        let texts: Vec<String> =
            subnet("172.20.0.0/14").divide(16).map(|net| net.to_string()).collect();
        assert_eq!(texts, ["172.20.0.0/16", "172.21.0.0/16", "172.22.0.0/16", "172.23.0.0/16"]);
        assert_eq!(subnet("10.0.0.0/24").divide(16).count(), 0);
        assert_eq!(subnet("10.0.0.0/8").divide(33).count(), 0);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/0", "10.0.0.0/-1"] {
            assert!(bad.parse::<Ipv4Subnet>().is_err(), "{bad}");
        }
    }
}
