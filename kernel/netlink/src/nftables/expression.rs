//! Rules and the expressions that they are made of.
//!
//! Each [`Expression`] compiles to the same kernel expressions as nft's (`nft --debug=netlink`),
//! so that `nft list` and iptables-nft show them as what they are.

use crate::wire::Attributes;
use std::net::Ipv4Addr;

const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

/// The verdict register.
const VERDICT: u32 = 0;
/// The first data register of 16 bytes.
const REGISTER: u32 = 1;
/// The second four bytes of that register, by the numbering of small registers.
const SECOND: u32 = 9;
/// The third four bytes of it.
const THIRD: u32 = 10;

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// `IPS_DST_NAT`.
const STATUS_DNAT: u32 = 1 << 5;
/// Bits of established and related.
const STATE_FOLLOWING: u32 = 0b110;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const IPV4_SOURCE: u32 = 12;
const IPV4_DESTINATION: u32 = 16;
const DESTINATION_PORT: u32 = 2;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_DESTINATION: u32 = 1 << 1;
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

/// A condition that a packet must meet for the rule to go on, or what then happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// It arrived by this interface.
    InputInterface(String),
    /// It arrived by another interface than this.
    InputInterfaceNot(String),
    /// It leaves by this interface.
    OutputInterface(String),
    /// It leaves by another interface than this.
    OutputInterfaceNot(String),
    /// Its source is in this subnet.
    Source(Ipv4Addr, u8),
    /// Its destination is in this subnet.
    Destination(Ipv4Addr, u8),
    /// Its destination is another address than this.
    DestinationNot(Ipv4Addr),
    /// Its destination is an address of this host.
    DestinationIsLocal,
    /// It belongs to a connection that was let through, or to one related to it.
    Following,
    /// Its connection's destination has been translated.
    DestinationTranslated,
    /// Counts packets and bytes.
    Count,
    /// Lets it through.
    Accept,
    /// Throws it away.
    Drop,
    /// Gives it the host's address on the interface that it leaves by.
    Masquerade,
    /// Sends it to the address and port that the map has for its protocol, destination address
    /// and port; goes on to the next rule when there is none.
    TranslateByAddressAndPort(String),
    /// As before, by protocol and destination port alone.
    TranslateByPort(String),
}

/// The expressions of a rule, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule(pub Vec<Expression>);

pub(super) fn write_rule(attributes: &mut Attributes<'_>, rule: &Rule) {
    attributes.nested(RULE_EXPRESSIONS, |list| {
        for expression in &rule.0 {
            write_expression(list, expression);
        }
    });
}

fn write_expression(list: &mut Attributes<'_>, expression: &Expression) {
    match expression {
        Expression::InputInterface(name) => interface(list, META_IIFNAME, EQUAL, name),
        Expression::InputInterfaceNot(name) => interface(list, META_IIFNAME, NOT_EQUAL, name),
        Expression::OutputInterface(name) => interface(list, META_OIFNAME, EQUAL, name),
        Expression::OutputInterfaceNot(name) => interface(list, META_OIFNAME, NOT_EQUAL, name),
        Expression::Source(address, length) => subnet(list, IPV4_SOURCE, *address, *length),
        Expression::Destination(address, length) => {
            subnet(list, IPV4_DESTINATION, *address, *length);
        }
        Expression::DestinationNot(address) => {
            payload(list, NETWORK_HEADER, IPV4_DESTINATION, 4, REGISTER);
            compare(list, NOT_EQUAL, &address.octets());
        }
        Expression::DestinationIsLocal => {
            numbers(list, "fib", &[(1, REGISTER), (2, FIB_ADDRESS_TYPE), (3, FIB_DESTINATION)]);
            compare(list, EQUAL, &LOCAL.to_ne_bytes());
        }
        Expression::Following => connection_bits(list, CT_STATE, STATE_FOLLOWING),
        Expression::DestinationTranslated => connection_bits(list, CT_STATUS, STATUS_DNAT),
        Expression::Count => write(list, "counter", |data| {
            data.network_u64(1, 0);
            data.network_u64(2, 0);
        }),
        Expression::Accept => verdict(list, NF_ACCEPT),
        Expression::Drop => verdict(list, NF_DROP),
        Expression::Masquerade => write(list, "masq", |_| ()),
        Expression::TranslateByAddressAndPort(map) => {
            numbers(list, "meta", &[(1, REGISTER), (2, META_L4PROTO)]);
            payload(list, NETWORK_HEADER, IPV4_DESTINATION, 4, SECOND);
            payload(list, TRANSPORT_HEADER, DESTINATION_PORT, 2, THIRD);
            translate(list, map);
        }
        Expression::TranslateByPort(map) => {
            numbers(list, "meta", &[(1, REGISTER), (2, META_L4PROTO)]);
            payload(list, TRANSPORT_HEADER, DESTINATION_PORT, 2, SECOND);
            translate(list, map);
        }
    }
}

fn write(list: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    list.nested(LIST_ELEMENT, |element| {
        element.text(EXPRESSION_NAME, name);
        element.nested(EXPRESSION_DATA, fill);
    });
}

/// An expression whose attributes are all numbers.
fn numbers(list: &mut Attributes<'_>, name: &str, values: &[(u16, u32)]) {
    write(list, name, |data| {
        for (kind, value) in values {
            data.network_u32(*kind, *value);
        }
    });
}

/// Compares an interface name, all 16 bytes of it, with zeros after its end.
fn interface(list: &mut Attributes<'_>, key: u32, operation: u32, name: &str) {
    numbers(list, "meta", &[(1, REGISTER), (2, key)]);
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    compare(list, operation, &bytes);
}

fn subnet(list: &mut Attributes<'_>, offset: u32, address: Ipv4Addr, length: u8) {
    payload(list, NETWORK_HEADER, offset, 4, REGISTER);
    if length < 32 {
        let mask = u32::MAX.checked_shl(u32::from(32 - length)).unwrap_or(0);
        mask_register(list, &mask.to_be_bytes());
    }
    compare(list, EQUAL, &address.octets());
}

/// Whether any of these bits of the connection's entry is set.
fn connection_bits(list: &mut Attributes<'_>, key: u32, bits: u32) {
    numbers(list, "ct", &[(1, REGISTER), (2, key)]);
    mask_register(list, &bits.to_ne_bytes());
    compare(list, NOT_EQUAL, &[0; 4]);
}

fn payload(list: &mut Attributes<'_>, base: u32, offset: u32, length: u32, register: u32) {
    numbers(list, "payload", &[(1, register), (2, base), (3, offset), (4, length)]);
}

fn mask_register(list: &mut Attributes<'_>, mask: &[u8; 4]) {
    write(list, "bitwise", |data| {
        data.network_u32(1, REGISTER);
        data.network_u32(2, REGISTER);
        data.network_u32(3, 4);
        data.nested(4, |value| value.bytes(1, mask));
        data.nested(5, |value| value.bytes(1, &[0; 4]));
    });
}

fn compare(list: &mut Attributes<'_>, operation: u32, bytes: &[u8]) {
    write(list, "cmp", |data| {
        data.network_u32(1, REGISTER);
        data.network_u32(2, operation);
        data.nested(3, |value| value.bytes(1, bytes));
    });
}

fn verdict(list: &mut Attributes<'_>, code: u32) {
    write(list, "immediate", |data| {
        data.network_u32(1, VERDICT);
        data.nested(2, |value| value.nested(2, |verdict| verdict.network_u32(1, code)));
    });
}

/// Looks the key in the registers up, and translates to the address and port found.
fn translate(list: &mut Attributes<'_>, map: &str) {
    write(list, "lookup", |data| {
        data.text(1, map);
        data.network_u32(2, REGISTER);
        data.network_u32(3, REGISTER);
    });
    write(list, "nat", |data| {
        data.network_u32(1, 1);
        data.network_u32(2, u32::from(super::NFPROTO_IPV4));
        data.network_u32(3, REGISTER);
        data.network_u32(5, SECOND);
    });
}
