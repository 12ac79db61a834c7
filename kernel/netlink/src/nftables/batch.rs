//! The messages of one transaction.

use super::expression::{Rule, write_rule};
use super::{
    DELETE_ELEMENT, DELETE_RULE, DELETE_TABLE, NEW_CHAIN, NEW_ELEMENT, NEW_RULE, NEW_SET,
    NEW_TABLE, NFPROTO_IPV4, SUBSYSTEM, header, message,
};
use crate::wire::{ACK, APPEND, Attributes, CREATE, Messages, REQUEST};

const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const ACCEPT: u32 = 1;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LENGTH: u16 = 7;
const SET_ID: u16 = 10;
const SET_IS_MAP: u32 = 0x8;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS_LIST: u16 = 3;
const LIST_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;

/// A chain that the kernel calls at a hook.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// The chain's name.
    pub name: &'a str,
    /// What it may do.
    pub kind: ChainKind,
    /// Where it is called.
    pub hook: ChainHook,
    /// When, among the chains of that hook; lower is earlier.
    pub priority: i32,
}

/// What a chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// Accept and drop.
    Filter,
    /// Translate addresses.
    Nat,
}

/// Where in a packet's way a chain is called (`enum nf_inet_hooks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainHook {
    /// On arrival, before routing.
    Prerouting = 0,
    /// Routed from one interface to another.
    Forward = 2,
    /// Sent by this host.
    Output = 3,
    /// Before leaving.
    Postrouting = 4,
}

/// A part of a key or value, with nft's type number so that `nft list` can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `ipv4_addr`.
    Ipv4Address = 7,
    /// `inet_proto`.
    Protocol = 12,
    /// `inet_service`.
    Port = 13,
}

/// A map from one concatenation of fields to another; every field takes four bytes.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// The map's name.
    pub name: &'a str,
    /// The fields of a key.
    pub key: &'a [Field],
    /// The fields of a value.
    pub value: &'a [Field],
}

/// Messages that the kernel applies together. IPv4 tables only.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    kind: u16,
    flags: u16,
    /// The message's attributes, encoded.
    body: Vec<u8>,
    description: String,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Creates a table; one that exists stays as it is.
    pub fn add_table(&mut self, table: &str) {
        self.push(NEW_TABLE, CREATE, format!("add table {table}"), |a| a.text(TABLE_NAME, table));
    }

    /// Deletes a table and all that is in it.
    pub fn delete_table(&mut self, table: &str) {
        self.push(DELETE_TABLE, 0, format!("delete table {table}"), |a| a.text(TABLE_NAME, table));
    }

    /// Creates a chain that accepts what none of its rules decides.
    pub fn add_chain(&mut self, table: &str, chain: &Chain<'_>) {
        let what = format!("add chain {table} {}", chain.name);
        self.push(NEW_CHAIN, CREATE, what, |attributes| {
            attributes.text(CHAIN_TABLE, table);
            attributes.text(CHAIN_NAME, chain.name);
            attributes.nested(CHAIN_HOOK, |hook| {
                hook.network_u32(HOOK_NUMBER, chain.hook as u32);
                hook.network_u32(HOOK_PRIORITY, chain.priority.cast_unsigned());
            });
            attributes.network_u32(CHAIN_POLICY, ACCEPT);
            let kind = match chain.kind {
                ChainKind::Filter => "filter",
                ChainKind::Nat => "nat",
            };
            attributes.text(CHAIN_TYPE, kind);
        });
    }

    /// Adds a rule after those that the chain has.
    pub fn append_rule(&mut self, table: &str, chain: &str, rule: &Rule) {
        self.rule(APPEND, table, chain, rule);
    }

    /// Adds a rule before those that the chain has.
    pub fn insert_rule(&mut self, table: &str, chain: &str, rule: &Rule) {
        self.rule(0, table, chain, rule);
    }

    /// Deletes the rule of this handle.
    pub fn delete_rule(&mut self, table: &str, chain: &str, handle: u64) {
        let what = format!("delete rule {table} {chain} handle {handle}");
        self.push(DELETE_RULE, 0, what, |attributes| {
            attributes.text(RULE_TABLE, table);
            attributes.text(RULE_CHAIN, chain);
            attributes.network_u64(RULE_HANDLE, handle);
        });
    }

    /// Creates an empty map.
    pub fn add_map(&mut self, table: &str, map: &Map<'_>) {
        let id = u32::try_from(self.entries.len() + 1).expect("a batch is short");
        self.push(NEW_SET, CREATE, format!("add map {table} {}", map.name), |attributes| {
            attributes.text(SET_TABLE, table);
            attributes.text(SET_NAME, map.name);
            attributes.network_u32(SET_FLAGS, SET_IS_MAP);
            attributes.network_u32(SET_KEY_TYPE, type_number(map.key));
            attributes.network_u32(SET_KEY_LENGTH, byte_length(map.key));
            attributes.network_u32(SET_DATA_TYPE, type_number(map.value));
            attributes.network_u32(SET_DATA_LENGTH, byte_length(map.value));
            attributes.network_u32(SET_ID, id);
        });
    }

    /// Adds a key and its value to a map.
    pub fn add_element(&mut self, table: &str, map: &str, key: &[u8], value: &[u8]) {
        let what = format!("add element {table} {map}");
        self.push(NEW_ELEMENT, CREATE, what, |attributes| {
            element(attributes, table, map, key, Some(value));
        });
    }

    /// Deletes a key from a map.
    pub fn delete_element(&mut self, table: &str, map: &str, key: &[u8]) {
        let what = format!("delete element {table} {map}");
        self.push(DELETE_ELEMENT, 0, what, |attributes| {
            element(attributes, table, map, key, None);
        });
    }

    fn rule(&mut self, position: u16, table: &str, chain: &str, rule: &Rule) {
        let what = format!("add rule {table} {chain}");
        self.push(NEW_RULE, CREATE | position, what, |attributes| {
            attributes.text(RULE_TABLE, table);
            attributes.text(RULE_CHAIN, chain);
            write_rule(attributes, rule);
        });
    }

    fn push(
        &mut self,
        kind: u16,
        flags: u16,
        description: String,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let mut body = Vec::new();
        fill(&mut Attributes::of(&mut body));
        self.entries.push(Entry { kind, flags, body, description });
    }

    /// The datagram, and the sequence number whose acknowledgement means success. Sequence 0
    /// begins the batch; a failure of the commit itself is answered to it.
    pub(super) fn finish(&self) -> (Messages, u32) {
        let mut out = Messages::default();
        // In a begin or end message, the last two bytes name the subsystem.
        let [high, low] = SUBSYSTEM.to_be_bytes();
        out.push(BATCH_BEGIN, REQUEST, 0, &[0, 0, high, low], |_| ());
        let mut sequence = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            sequence += 1;
            let acknowledge = if index + 1 == self.entries.len() { ACK } else { 0 };
            let flags = REQUEST | entry.flags | acknowledge;
            out.push(message(entry.kind), flags, sequence, &header(NFPROTO_IPV4), |attributes| {
                attributes.raw(&entry.body);
            });
        }
        out.push(BATCH_END, REQUEST, sequence + 1, &[0, 0, high, low], |_| ());
        (out, sequence)
    }

    pub(super) fn describe(&self, sequence: u32) -> &str {
        usize::try_from(sequence)
            .ok()
            .and_then(|sequence| self.entries.get(sequence.checked_sub(1)?))
            .map_or("commit nftables batch", |entry| &entry.description)
    }
}

fn element(
    attributes: &mut Attributes<'_>,
    table: &str,
    map: &str,
    key: &[u8],
    value: Option<&[u8]>,
) {
    attributes.text(ELEMENTS_TABLE, table);
    attributes.text(ELEMENTS_SET, map);
    attributes.nested(ELEMENTS_LIST, |list| {
        list.nested(LIST_ELEMENT, |element| {
            element.nested(ELEMENT_KEY, |data| data.bytes(DATA_VALUE, key));
            if let Some(value) = value {
                element.nested(ELEMENT_DATA, |data| data.bytes(DATA_VALUE, value));
            }
        });
    });
}

/// nft's number of a concatenated type: six bits for each field.
fn type_number(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |number, field| number << 6 | *field as u32)
}

fn byte_length(fields: &[Field]) -> u32 {
    u32::try_from(fields.len() * 4).expect("a key has few fields")
}
