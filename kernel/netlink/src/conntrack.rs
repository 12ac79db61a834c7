//! Forgetting connections whose translated destination is gone.
//!
//! A connection keeps the translation it began with. For UDP, where a "connection" lasts as long
//! as packets keep coming, a caller would send to a removed container for ever.

use crate::Error;
use crate::socket::Socket;
use crate::wire::{ACK, DUMP, Messages, REQUEST, attribute};
use rustix::net::netlink::NETFILTER;
use std::io;
use std::net::Ipv4Addr;

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
/// `struct nfgenmsg` of IPv4.
const HEADER: [u8; 4] = [2, 0, 0, 0];
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const IPV4_SOURCE: u16 = 1;

/// Deletes the entries of connections that `address` answers; tells how many.
///
/// # Errors
/// The exchange failed. An entry that ends meanwhile is no error.
pub fn forget_connections_to(address: Ipv4Addr) -> Result<usize, Error> {
    let mut socket = Socket::open(Some(NETFILTER))?;
    let mut request = Messages::default();
    request.push(GET, REQUEST | DUMP, 1, &HEADER, |_| ());
    let mut originals = Vec::new();
    socket.dump(&request, |message| {
        let body = message.payload.get(HEADER.len()..).unwrap_or_default();
        let answers = attribute(body, TUPLE_REPLY)
            .and_then(|tuple| attribute(tuple, TUPLE_IP))
            .and_then(|ip| attribute(ip, IPV4_SOURCE))
            .is_some_and(|source| source == address.octets());
        if let (true, Some(original)) = (answers, attribute(body, TUPLE_ORIGINAL)) {
            originals.push(original.to_vec());
        }
    })?;
    for original in &originals {
        let mut removal = Messages::default();
        removal.push(DELETE, REQUEST | ACK, 1, &HEADER, |attributes| {
            attributes.nested(TUPLE_ORIGINAL, |tuple| tuple.raw(original));
        });
        let failure = socket.exchange(&removal)?.into_iter().find_map(|answer| answer.error);
        if let Some(source) = failure.filter(|error| error.kind() != io::ErrorKind::NotFound) {
            return Err(Error::Refused {
                request: format!("forget connections to {address}"),
                source,
            });
        }
    }
    Ok(originals.len())
}
