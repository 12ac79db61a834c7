//! Networks, sandboxes, addresses and published ports.

#![forbid(unsafe_code)]
