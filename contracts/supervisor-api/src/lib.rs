//! containerd's gRPC messages and services: daemon to supervisor.
//!
//! Package, service and field names are containerd's, so that its own clients and servers are
//! peers. The messages are generated from `proto/`; beside them stand only what both ends of the
//! arrow must do alike: [`any`] (how messages are wrapped in an `Any`), [`metadata`] (request
//! headers), [`labels`], [`topics`] (event topics) and [`channel`] (connecting over a Unix socket). No logic.

#![forbid(unsafe_code)]

pub mod any;
pub mod channel;
pub mod labels;
pub mod metadata;
pub mod status;
pub mod topics;

mod generated {
    #![allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    include!(concat!(env!("OUT_DIR"), "/protocols.rs"));
}

/// One module for each gRPC service: its messages, `…_client` and `…_server`.
pub mod services {
    pub use crate::generated::containerd::services::containers::v1 as containers;
    pub use crate::generated::containerd::services::content::v1 as content;
    pub use crate::generated::containerd::services::diff::v1 as diff;
    pub use crate::generated::containerd::services::events::v1 as events;
    pub use crate::generated::containerd::services::images::v1 as images;
    pub use crate::generated::containerd::services::introspection::v1 as introspection;
    pub use crate::generated::containerd::services::leases::v1 as leases;
    pub use crate::generated::containerd::services::namespaces::v1 as namespaces;
    pub use crate::generated::containerd::services::snapshots::v1 as snapshots;
    pub use crate::generated::containerd::services::streaming::v1 as streaming;
    pub use crate::generated::containerd::services::tasks::v1 as tasks;
    pub use crate::generated::containerd::services::transfer::v1 as transfer;
    pub use crate::generated::containerd::services::version::v1 as version;
    pub use crate::generated::grpc::health::v1 as health;
}

/// Messages that several services share.
pub mod types {
    pub use crate::generated::containerd::types::{
        Descriptor, Envelope, Metric, Mount, Platform, RuntimeInfo, RuntimeRequest, RuntimeVersion,
    };
    pub use crate::generated::containerd::v1::types::{Process, ProcessInfo, Status};
    pub use crate::generated::google::rpc;

    /// Sources, destinations and stream messages of the transfer service.
    pub use crate::generated::containerd::types::transfer;
}

/// What an event's `Any` holds; the images' are in [`services::images`].
pub use generated::containerd::events;

pub use prost;
pub use prost_types::{self, Any, FieldMask, Timestamp};
pub use tonic;
