//! Routes, links and nftables over netlink.

#![forbid(unsafe_code)]
