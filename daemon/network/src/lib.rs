//! Networks, sandboxes, addresses and published ports.
//!
//! A *network* is a record ([`NetworkRecord`]); `bridge`, `host` and `none` always exist. A
//! *sandbox* is a network namespace with its endpoints, apart from any task: it is made before a
//! container's task and outlives it for as long as the owner wants. [`Networks`] is the entry
//! point; it is synchronous, takes `&self`, and is safe to call from many threads.
//!
//! Not here: name resolution between containers, and networks that users define.
//!
//! Invariants: no program of others is ever executed; a sandbox that was handed out is on disk
//! before its creator is answered, so that [`Networks::adopt`] can tell the living from the dead
//! after a crash; published ports are forwarded by the kernel, on IPv6 addresses by a process of
//! their own (`daemon/proxy`), so that they outlive us.

#![forbid(unsafe_code)]

mod config;
mod creation;
mod networks;

mod predefined;
mod record;
mod resolver;
mod sandbox;
mod subnet;

mod addresses;
mod background;
mod ports;
mod proxies;
mod state;
mod store;

mod bridge;
mod firewall;
mod namespace;

mod error;

pub use config::{AddressPool, NetworksConfig};
pub use error::{Error, PortError};
pub use networks::Networks;
pub use record::{AddressUse, Attachment, Ipam, IpamConfig, NetworkRecord};
pub use resolver::{ResolverOptions, host_resolv_conf, hosts_file, resolv_conf};
pub use sandbox::{
    Endpoint, EndpointRequest, InterfaceCounters, InvalidMacAddress, MacAddress, PortRequest,
    Protocol, PublishedPort, Sandbox, SandboxRequest,
};
pub use subnet::{InvalidSubnet, Ipv4Subnet};
