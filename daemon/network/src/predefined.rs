//! The networks that always exist.

use crate::bridge::{Bridge, NAME_OPTION};
use crate::store::VERSION;
use crate::{Ipam, IpamConfig, NetworkRecord, NetworksConfig};
use base_ids::NetworkId;
use std::collections::BTreeMap;

/// The default network.
pub(crate) const BRIDGE: &str = "bridge";
/// The daemon's own namespace.
pub(crate) const HOST: &str = "host";
/// Only a loopback interface.
pub(crate) const NONE: &str = "none";

/// `bridge`, `host` and `none`, with the ids and dates of `earlier`.
pub(crate) fn networks(
    config: &NetworksConfig,
    bridge: Option<&Bridge>,
    earlier: &[NetworkRecord],
) -> Vec<NetworkRecord> {
    let mut all = Vec::new();
    all.extend(bridge.map(|bridge| NetworkRecord {
        ipam: Ipam {
            driver: "default".to_owned(),
            options: None,
            config: vec![IpamConfig { subnet: bridge.subnet, gateway: bridge.gateway }],
        },
        options: bridge_options(config, bridge),
        ..network(BRIDGE, "bridge", earlier)
    }));
    all.push(network(HOST, "host", earlier));
    all.push(network(NONE, "null", earlier));
    all
}

fn network(name: &str, driver: &str, earlier: &[NetworkRecord]) -> NetworkRecord {
    let earlier = earlier.iter().find(|network| network.name == name);
    NetworkRecord {
        version: VERSION,
        name: name.to_owned(),
        id: earlier.map_or_else(NetworkId::random, |network| network.id.clone()),
        created: earlier
            .map_or_else(|| jiff::Timestamp::now().to_string(), |network| network.created.clone()),
        scope: "local".to_owned(),
        driver: driver.to_owned(),
        enable_ipv4: true,
        enable_ipv6: false,
        ipam: Ipam { driver: "default".to_owned(), options: None, config: Vec::new() },
        internal: false,
        attachable: false,
        ingress: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn bridge_options(config: &NetworksConfig, bridge: &Bridge) -> BTreeMap<String, String> {
    let option = |name: &str, value: String| (format!("com.docker.network.{name}"), value);
    BTreeMap::from([
        (NAME_OPTION.to_owned(), bridge.name.clone()),
        option("bridge.default_bridge", true.to_string()),
        option("bridge.enable_icc", config.inter_container.to_string()),
        option("bridge.enable_ip_masquerade", config.masquerade.to_string()),
        option("bridge.host_binding_ipv4", config.host_binding_ipv4.to_string()),
        option("driver.mtu", config.mtu.to_string()),
    ])
}
