//! nf_tables: tables, chains, rules, maps and their elements, changed in one transaction.
//!
//! The messages are those of `linux/netfilter/nf_tables.h`. A [`Batch`] is applied whole or not
//! at all; a refusal names the message that caused it. Keys and values of maps are concatenations
//! of fields, each padded to four bytes, as the packet path compares them.

mod batch;
mod expression;
mod query;

pub use batch::{Batch, Chain, ChainHook, ChainKind, Field, Map};
pub use expression::{Expression, Rule};

use crate::Error;
use crate::socket::Socket;
use rustix::net::netlink::NETFILTER;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;
const NFPROTO_IPV4: u8 = 2;

/// A netfilter socket of the namespace in which it was opened.
#[derive(Debug)]
pub struct NftablesSocket(Socket);

impl NftablesSocket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// socket(2) failed.
    pub fn open() -> Result<Self, Error> {
        Socket::open(Some(NETFILTER)).map(Self)
    }

    /// Applies the batch: all of it, or none.
    ///
    /// # Errors
    /// The kernel refused a message, or the exchange failed.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        let (messages, last) = batch.finish();
        let mut answers = self.0.exchange(&messages)?;
        answers.sort_by_key(|answer| answer.sequence);
        let mut acknowledged = false;
        for answer in answers {
            if let Some(source) = answer.error {
                let request = batch.describe(answer.sequence).to_owned();
                return Err(Error::Refused { request, source });
            }
            acknowledged |= answer.sequence == last;
        }
        if acknowledged { Ok(()) } else { Err(Error::Malformed("a batch without answer")) }
    }
}

/// `struct nfgenmsg`.
fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

const fn message(kind: u16) -> u16 {
    SUBSYSTEM << 8 | kind
}
