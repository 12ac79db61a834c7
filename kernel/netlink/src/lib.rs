//! Routes, links and nftables over netlink.
//!
//! One attribute encoder serves both families: [`route::RouteSocket`] talks rtnetlink (links,
//! addresses, routes), [`nftables::Batch`] collects nf_tables messages that the kernel applies
//! all or none; [`conntrack`] forgets connections. Everything is synchronous: the kernel has answered when `sendto` returns.
//!
//! A socket belongs to the network namespace of the thread that opened it, for good.

#![forbid(unsafe_code)]

pub mod conntrack;
mod error;
pub mod nftables;
pub mod route;
mod socket;
mod wire;

pub use error::Error;
