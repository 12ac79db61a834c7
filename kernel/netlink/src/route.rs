//! Links, addresses and routes (rtnetlink(7)).
//!
//! Changes are collected in a [`Changes`] list and sent as one datagram; each is acknowledged by
//! itself, and the first failure is reported with what it was about.

mod changes;
mod queries;

pub use changes::{Changes, LinkChange, Veth};
pub use queries::{Address, InterfaceAddress, Link, LinkCounters, Route};

use crate::Error;
use crate::socket::Socket;
use crate::wire::{DUMP, Messages, REQUEST};
use std::net::Ipv4Addr;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const AF_INET: u8 = 2;

/// An rtnetlink socket of the namespace in which it was opened.
#[derive(Debug)]
pub struct RouteSocket(Socket);

impl RouteSocket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// socket(2) failed.
    pub fn open() -> Result<Self, Error> {
        Socket::open(None).map(Self)
    }

    /// Applies the changes in order, in one exchange. The kernel goes on after a failure; the
    /// first is returned.
    ///
    /// # Errors
    /// A change was refused, or the exchange failed.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), Error> {
        if changes.len() == 0 {
            // The kernel answers ENODATA to a datagram of no bytes.
            return Ok(());
        }
        let mut answers = self.0.exchange(changes.messages())?;
        answers.sort_by_key(|answer| answer.sequence);
        if answers.len() < changes.len() {
            return Err(Error::Malformed("a change without acknowledgement"));
        }
        match answers.into_iter().find_map(|answer| answer.error.map(|e| (answer.sequence, e))) {
            None => Ok(()),
            Some((sequence, source)) => {
                Err(Error::Refused { request: changes.describe(sequence).to_owned(), source })
            }
        }
    }

    /// The link of this name.
    ///
    /// # Errors
    /// The exchange failed. A link that is not there is `None`.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let mut out = Messages::default();
        out.push(GET_LINK, REQUEST, 1, &[0; 16], |attributes| {
            attributes.text(changes::IFLA_IFNAME, name);
        });
        let mut found = None;
        let failure = self.0.query(&out, |message| found = queries::link(message.payload))?;
        match failure {
            Some(error)
                if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) =>
            {
                Ok(None)
            }
            Some(source) => Err(Error::Refused { request: format!("get link {name}"), source }),
            None => Ok(found),
        }
    }

    /// All links.
    ///
    /// # Errors
    /// The exchange failed.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.dump(GET_LINK, &[0; 16], queries::link)
    }

    /// All IPv4 addresses.
    ///
    /// # Errors
    /// The exchange failed.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.dump(GET_ADDRESS, &[AF_INET, 0, 0, 0, 0, 0, 0, 0], queries::address)
    }

    /// A link's addresses of either family.
    ///
    /// # Errors
    /// The exchange failed.
    pub fn interface_addresses(&mut self, link: u32) -> Result<Vec<InterfaceAddress>, Error> {
        let mut all = self.dump(GET_ADDRESS, &[0; 8], queries::interface_address)?;
        all.retain(|address| address.link == link);
        Ok(all)
    }

    /// All IPv4 routes of the main table; the default route has prefix length 0.
    ///
    /// # Errors
    /// The exchange failed.
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        self.dump(GET_ROUTE, &[AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], queries::route)
    }

    fn dump<T>(
        &mut self,
        kind: u16,
        header: &[u8],
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let mut out = Messages::default();
        out.push(kind, REQUEST | DUMP, 1, header, |_| ());
        let mut all = Vec::new();
        self.0.dump(&out, |message| all.extend(parse(message.payload)))?;
        Ok(all)
    }
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_changes_are_applied_at_once() {
        RouteSocket::open().unwrap().apply(&Changes::new()).unwrap();
    }
}
