//! What the daemon's flags say about networking.

use crate::Ipv4Subnet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// A range from which networks take subnets of one size (`--default-address-pool`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// The whole range.
    pub base: Ipv4Subnet,
    /// Prefix length of each subnet taken from it.
    pub size: u8,
}

/// How [`crate::Networks`] is set up.
#[derive(Clone, Debug)]
pub struct NetworksConfig {
    /// `--data-root`; network records are in `networks/` below it.
    pub data_root: PathBuf,
    /// `--exec-root`; namespaces are in `netns/`, sandbox records in `sandboxes/` below it.
    pub exec_root: PathBuf,
    /// `--bridge`: the default network's bridge; `none` means no default network. By default
    /// `gantry0`, or the next number where that belongs to another daemon.
    pub bridge: Option<String>,
    /// `--bip`: the bridge's own address, with the prefix length of its subnet.
    pub bip: Option<(Ipv4Addr, u8)>,
    /// `--default-address-pool`; empty means Docker's.
    pub default_address_pools: Vec<AddressPool>,
    /// `--mtu` of the default network.
    pub mtu: u32,
    /// `--icc`: containers of the default network may reach each other.
    pub inter_container: bool,
    /// `--ip-masq`: containers reach the world with the host's address.
    pub masquerade: bool,
    /// `--ip`: the host address of published ports that name none.
    pub host_binding_ipv4: Ipv4Addr,
    /// `--ip-forward`: switch forwarding on.
    pub ip_forward: bool,
    /// `--userland-proxy` and `--userland-proxy-path`: the program that carries what reaches ports
    /// published on IPv6 addresses; without one, ports are published on IPv4 only.
    pub userland_proxy: Option<PathBuf>,
    /// How many ready sandboxes to keep; 0 makes each when it is asked for.
    pub sandbox_pool_size: usize,
}

impl NetworksConfig {
    /// Docker's defaults below these two roots, without a proxy, and a pool of eight sandboxes.
    #[must_use]
    pub fn new(data_root: PathBuf, exec_root: PathBuf) -> Self {
        Self {
            data_root,
            exec_root,
            bridge: None,
            bip: None,
            default_address_pools: Vec::new(),
            mtu: 1500,
            inter_container: true,
            masquerade: true,
            host_binding_ipv4: Ipv4Addr::UNSPECIFIED,
            ip_forward: true,
            userland_proxy: None,
            sandbox_pool_size: 8,
        }
    }
}
