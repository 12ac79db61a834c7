//! Networks as the API shows them.

use crate::error::{Error, Result};
use crate::shared::{Shared, blocking};
use base_errors::{Chain, Classify, Kind};
use contracts_engine_api::Filters;
use contracts_engine_api::network::{
    EndpointResource, Ipam, IpamConfig, IpamStatus, Network, NetworkStatus, SubnetStatus,
};
use daemon_network::NetworkRecord;
use std::collections::BTreeMap;

impl Shared {
    /// `GET /networks`.
    pub(crate) async fn network_list(&self, filters: &Filters) -> Result<Vec<Network>> {
        let known = ["dangling", "driver", "id", "label", "name", "scope", "type"];
        let invalid =
            |e: contracts_engine_api::filters::InvalidFilter| Error::invalid(e.to_string());
        filters.accept_only(&known).map_err(invalid)?;
        let dangling = filters.flag("dangling").map_err(invalid)?;
        let networks = self.networks.clone();
        let records = blocking("list networks", move || networks.list()).await?;
        let contains = |key: &str, text: &str| {
            let mut values = filters.get(key).peekable();
            values.peek().is_none() || values.any(|value| text.contains(value))
        };
        let fits = |network: &NetworkRecord| {
            let predefined = matches!(network.name.as_str(), "bridge" | "host" | "none");
            let kind = if predefined { "builtin" } else { "custom" };
            contains("name", &network.name)
                && contains("id", network.id.as_str())
                && filters.matches("driver", &network.driver)
                && filters.matches("scope", &network.scope)
                && filters.matches("type", kind)
                && filters.matches_pairs("label", Some(&network.labels))
                && dangling.is_none_or(|dangling| dangling != predefined)
        };
        Ok(records.iter().filter(|network| fits(network)).map(shown).collect())
    }

    /// `GET /networks/{id}`.
    pub(crate) async fn network_inspect(&self, id: &str) -> Result<Network> {
        let (networks, wanted) = (self.networks.clone(), id.to_owned());
        let found = blocking("find network", move || {
            let network = networks.find(&wanted)?;
            let attachments = networks.attachments(&network.id);
            let usage = networks.address_use(&network.id);
            Ok::<_, daemon_network::Error>((network, attachments, usage))
        });
        let (record, attachments, usage) = found.await?.map_err(|error| match error.kind() {
            Kind::NotFound => Error::NoSuchNetwork(id.to_owned()),
            kind => Error::Remote { kind, message: Chain(&error).to_string() },
        })?;
        let mut network = shown(&record);
        let resources = attachments.into_iter().map(|attachment| {
            let name = self.containers.by_id(&attachment.container);
            let resource = EndpointResource {
                name: name.map(|container| container.record.name.clone()).unwrap_or_default(),
                endpoint_id: attachment.endpoint_id.to_string(),
                mac_address: attachment.mac.map(|mac| mac.to_string()).unwrap_or_default(),
                ipv4_address: attachment
                    .ipv4
                    .map(|(address, length)| format!("{address}/{length}"))
                    .unwrap_or_default(),
                ipv6_address: String::new(),
            };
            (attachment.container.to_string(), resource)
        });
        network.containers = Some(resources.collect());
        let subnets = usage.map(|usage| {
            let status =
                SubnetStatus { ips_in_use: usage.in_use, dynamic_ips_available: usage.available };
            BTreeMap::from([(usage.subnet.to_string(), status)])
        });
        network.status = Some(NetworkStatus { ipam: IpamStatus { subnets } });
        Ok(network)
    }
}

fn shown(record: &NetworkRecord) -> Network {
    let config: Vec<IpamConfig> = record
        .ipam
        .config
        .iter()
        .map(|one| IpamConfig {
            subnet: one.subnet.to_string(),
            gateway: one.gateway.to_string(),
            ..IpamConfig::default()
        })
        .collect();
    Network {
        name: record.name.clone(),
        id: record.id.to_string(),
        created: record.created.clone(),
        scope: record.scope.clone(),
        driver: record.driver.clone(),
        enable_ipv4: record.enable_ipv4,
        enable_ipv6: record.enable_ipv6,
        ipam: Ipam {
            driver: record.ipam.driver.clone(),
            options: record.ipam.options.clone(),
            config: (!config.is_empty()).then_some(config),
        },
        internal: record.internal,
        attachable: record.attachable,
        ingress: record.ingress,
        options: Some(record.options.clone()),
        labels: Some(record.labels.clone()),
        ..Network::default()
    }
}
