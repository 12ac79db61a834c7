//! `--network` and what belongs to it.

use super::checks;
use crate::arguments::Arguments;
use contracts_engine_api::network::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};
use std::collections::BTreeMap;

/// The networks of a new container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Networking {
    /// The first one, which is the mode too.
    pub(super) mode: String,
    pub(super) mac_address: String,
    pub(super) config: NetworkingConfig,
}

pub(super) fn parse(arguments: &Arguments) -> Result<Networking, String> {
    let flags: Vec<&str> = arguments.list("network").chain(arguments.list("net")).collect();
    let mut networks = Vec::new();
    for text in &flags {
        networks.push(network(text)?);
    }
    let mut mac_address = arguments.text("mac-address").to_owned();
    if !mac_address.is_empty() {
        checks::mac_address(&mac_address)?;
    }
    let settings = from_single_flags(arguments);
    if networks.is_empty() {
        networks.push(("default".to_owned(), EndpointSettings::default()));
    }
    merge(&mut networks[0].1, settings)?;
    let mode = networks[0].0.clone();
    if mac_address.is_empty() {
        mac_address.clone_from(&networks[0].1.mac_address);
    }
    let mut endpoints = BTreeMap::new();
    for (name, settings) in networks {
        if endpoints.insert(name.clone(), Some(settings)).is_some() {
            return Err(format!("network \"{name}\" is specified multiple times"));
        }
    }
    // A plain default needs no word: older daemons would take an entry for a user's network.
    let plain = |settings: &Option<EndpointSettings>| {
        settings.as_ref().is_none_or(|settings| *settings == EndpointSettings::default())
    };
    if endpoints.len() == 1 && endpoints.values().all(plain) {
        endpoints.clear();
    }
    let config = NetworkingConfig { endpoints_config: Some(endpoints) };
    Ok(Networking { mode, mac_address, config })
}

/// A name, or `name=…,alias=…,ip=…`.
fn network(text: &str) -> Result<(String, EndpointSettings), String> {
    let mut settings = EndpointSettings::default();
    if !text.contains('=') {
        return Ok((text.to_owned(), settings));
    }
    let mut name = String::new();
    for field in text.split(',') {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => value.clone_into(&mut name),
            "alias" => settings.aliases.get_or_insert_default().push(value.to_owned()),
            "ip" => value.clone_into(&mut ipam(&mut settings).ipv4_address),
            "ip6" => value.clone_into(&mut ipam(&mut settings).ipv6_address),
            "link-local-ip" => {
                let addresses = &mut ipam(&mut settings).link_local_ips;
                addresses.get_or_insert_default().push(value.to_owned());
            }
            "mac-address" => value.clone_into(&mut settings.mac_address),
            "driver-opt" => {
                let (option, value) = value
                    .split_once('=')
                    .ok_or("invalid key value pair format in driver options")?;
                let options = settings.driver_opts.get_or_insert_default();
                options.insert(option.to_ascii_lowercase(), value.to_owned());
            }
            "gw-priority" => {
                settings.gw_priority =
                    value.parse().map_err(|_| format!("invalid gw-priority ({value})"))?;
            }
            key => return Err(format!("invalid field key {key}")),
        }
    }
    if name.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok((name, settings))
}

fn ipam(settings: &mut EndpointSettings) -> &mut EndpointIpamConfig {
    settings.ipam_config.get_or_insert_default()
}

fn from_single_flags(arguments: &Arguments) -> EndpointSettings {
    let mut settings = EndpointSettings::default();
    let aliases: Vec<String> = arguments
        .list("network-alias")
        .chain(arguments.list("net-alias"))
        .map(str::to_owned)
        .collect();
    if !aliases.is_empty() {
        settings.aliases = Some(aliases);
    }
    if let Some(ip) = arguments.text_if_given("ip") {
        ip.clone_into(&mut ipam(&mut settings).ipv4_address);
    }
    if let Some(ip) = arguments.text_if_given("ip6") {
        ip.clone_into(&mut ipam(&mut settings).ipv6_address);
    }
    if let Some(addresses) = arguments.texts_if_given("link-local-ip") {
        ipam(&mut settings).link_local_ips = Some(addresses);
    }
    settings
}

/// Single flags belong to the first network, unless it says the same itself.
fn merge(into: &mut EndpointSettings, from: EndpointSettings) -> Result<(), String> {
    if let Some(aliases) = from.aliases {
        if into.aliases.is_some() {
            return Err(
                "conflicting options: cannot specify both --network-alias and per-network alias"
                    .to_owned(),
            );
        }
        into.aliases = Some(aliases);
    }
    if let Some(addresses) = from.ipam_config {
        if into.ipam_config.is_some() {
            return Err(
                "conflicting options: cannot specify both --ip and per-network IPv4 address"
                    .to_owned(),
            );
        }
        into.ipam_config = Some(addresses);
    }
    Ok(())
}
