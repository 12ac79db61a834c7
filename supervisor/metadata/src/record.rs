//! The records, their keys, and what each must survive.
//!
//! Most are the messages of `contracts/supervisor-api`: their field numbers are a public promise
//! already, and a second set of structs would only repeat it.

use contracts_supervisor_api::labels::{EPHEMERAL, GC_EXPIRE, GC_ROOT};
use contracts_supervisor_api::services::{containers, content, images, leases, namespaces};
use prost::Message;
use prost_types::Timestamp;
use std::collections::HashMap;

/// What an acknowledged change of a record survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The death of every program, but not of the machine.
    Ephemeral,
    /// The death of every program at once, and power loss a second later or as soon as anything
    /// durable is written, whichever is first.
    Lazy,
    /// Power loss.
    Durable,
}

/// One sort of record.
pub trait Record: Message + Default + Clone + 'static {
    /// First byte of the keys; never reused.
    const TABLE: u8;
    /// What error messages call it.
    const NOUN: &'static str;
    /// What a removal survives; [`Class::Ephemeral`] records leave without a trace anyway.
    const REMOVAL: Class;

    /// The rest of the key, below the namespace.
    fn key(&self) -> String;

    /// What this record, as it is now, must survive.
    fn class(&self) -> Class;
}

fn is_ephemeral(labels: &HashMap<String, String>) -> bool {
    labels.get(EPHEMERAL).is_some_and(|value| value == "true")
}

impl Record for namespaces::Namespace {
    const TABLE: u8 = b'n';
    const NOUN: &'static str = "namespace";
    const REMOVAL: Class = Class::Durable;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn class(&self) -> Class {
        // Mostly made in passing, by the first record in it.
        if self.labels.is_empty() { Class::Lazy } else { Class::Durable }
    }
}

impl Record for containers::Container {
    const TABLE: u8 = b'c';
    const NOUN: &'static str = "container";
    // The daemon's own record is what a person sees; this one returning after power loss is
    // found and removed by the daemon.
    const REMOVAL: Class = Class::Lazy;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn class(&self) -> Class {
        if is_ephemeral(&self.labels) { Class::Ephemeral } else { Class::Durable }
    }
}

impl Record for images::Image {
    const TABLE: u8 = b'i';
    const NOUN: &'static str = "image";
    const REMOVAL: Class = Class::Durable;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn class(&self) -> Class {
        Class::Durable
    }
}

impl Record for content::Info {
    const TABLE: u8 = b'b';
    const NOUN: &'static str = "content";
    const REMOVAL: Class = Class::Lazy;

    fn key(&self) -> String {
        self.digest.clone()
    }

    fn class(&self) -> Class {
        Class::Durable
    }
}

impl Record for leases::Lease {
    const TABLE: u8 = b'l';
    const NOUN: &'static str = "lease";
    const REMOVAL: Class = Class::Lazy;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn class(&self) -> Class {
        // A lease that ends by itself guards work that a reboot ends too.
        if is_ephemeral(&self.labels) || self.labels.contains_key(GC_EXPIRE) {
            Class::Ephemeral
        } else {
            Class::Lazy
        }
    }
}

/// One thing that a lease keeps from collection.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseResource {
    /// The lease's id.
    #[prost(string, tag = "1")]
    pub lease: String,
    /// `content`, `ingests`, `images` or `snapshots/NAME`.
    #[prost(string, tag = "2")]
    pub r#type: String,
    /// A digest, reference, name or key, by type.
    #[prost(string, tag = "3")]
    pub id: String,
    /// Whether the lease itself is ephemeral.
    #[prost(bool, tag = "4")]
    pub ephemeral: bool,
}

impl LeaseResource {
    /// The start of the keys of all resources of a lease.
    #[must_use]
    pub fn prefix(lease: &str) -> String {
        format!("{lease}\0")
    }
}

impl Record for LeaseResource {
    const TABLE: u8 = b'r';
    const NOUN: &'static str = "lease resource";
    const REMOVAL: Class = Class::Lazy;

    fn key(&self) -> String {
        format!("{}\0{}\0{}", self.lease, self.r#type, self.id)
    }

    fn class(&self) -> Class {
        if self.ephemeral { Class::Ephemeral } else { Class::Lazy }
    }
}

/// A snapshot: a name for a numbered directory.
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotRecord {
    /// The snapshotter's name.
    #[prost(string, tag = "1")]
    pub snapshotter: String,
    /// The key or, once committed, name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The parent's name; empty for none.
    #[prost(string, tag = "3")]
    pub parent: String,
    /// A value of [`Kind`](contracts_supervisor_api::services::snapshots::Kind).
    #[prost(enumeration = "contracts_supervisor_api::services::snapshots::Kind", tag = "4")]
    pub kind: i32,
    /// Names its directory; unique among all snapshots.
    #[prost(uint64, tag = "5")]
    pub number: u64,
    /// The client's labels.
    #[prost(map = "string, string", tag = "6")]
    pub labels: HashMap<String, String>,
    /// When it was prepared or committed.
    #[prost(message, optional, tag = "7")]
    pub created_at: Option<Timestamp>,
    /// When its labels changed last.
    #[prost(message, optional, tag = "8")]
    pub updated_at: Option<Timestamp>,
    /// Bytes on disk, known once committed.
    #[prost(int64, tag = "9")]
    pub size: i64,
    /// Inodes on disk, known once committed.
    #[prost(int64, tag = "10")]
    pub inodes: i64,
}

impl SnapshotRecord {
    /// The key of the snapshot of this name.
    #[must_use]
    pub fn key_of(snapshotter: &str, name: &str) -> String {
        format!("{snapshotter}\0{name}")
    }
}

impl Record for SnapshotRecord {
    const TABLE: u8 = b's';
    const NOUN: &'static str = "snapshot";
    const REMOVAL: Class = Class::Lazy;

    fn key(&self) -> String {
        Self::key_of(&self.snapshotter, &self.name)
    }

    fn class(&self) -> Class {
        use contracts_supervisor_api::services::snapshots::Kind;
        if is_ephemeral(&self.labels) {
            Class::Ephemeral
        } else if self.kind() == Kind::Committed || self.labels.contains_key(GC_ROOT) {
            Class::Durable
        } else {
            // Worth keeping once something names it, and that write makes this one durable.
            Class::Lazy
        }
    }
}
