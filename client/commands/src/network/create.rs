//! `network create`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{output, pairs};
use contracts_engine_api::network::{
    ConfigReference, CreateRequest, CreateResponse, Ipam, IpamConfig,
};
use std::net::IpAddr;

static FLAGS: &[Flag] = &[
    Flag::new("attachable", Kind::Switch, "Let containers attach by hand").default("false"),
    Flag::new("aux-address", Kind::Map, "Addresses that the driver keeps for others")
        .default("map[]"),
    Flag::new("config-from", Kind::Text, "The network from which to copy the configuration"),
    Flag::new("config-only", Kind::Switch, "Create a network that is only a configuration")
        .default("false"),
    Flag::new("driver", Kind::Text, "Driver of the network").short('d').default("bridge"),
    Flag::new("gateway", Kind::Texts, "Gateway of a subnet"),
    Flag::new("ingress", Kind::Switch, "Create a routing-mesh network").default("false"),
    Flag::new("internal", Kind::Switch, "Restrict access to and from outside").default("false"),
    Flag::new("ip-range", Kind::Texts, "Give addresses out of a part of a subnet"),
    Flag::new("ipam-driver", Kind::Text, "Driver of the address management").default("default"),
    Flag::new("ipam-opt", Kind::Map, "Options of the address management").default("map[]"),
    Flag::new("ipv4", Kind::Switch, "Give IPv4 addresses").default("true"),
    Flag::new("ipv6", Kind::Switch, "Give IPv6 addresses").default("false"),
    Flag::new("label", Kind::List, "Set a label"),
    Flag::new("opt", Kind::Map, "Options of the driver").short('o').default("map[]"),
    Flag::new("scope", Kind::Text, "Scope of the network"),
    Flag::new("subnet", Kind::Texts, "Subnet in CIDR form"),
];

/// `network create`.
pub(super) static COMMAND: Command =
    Command::new("create", "[OPTIONS] NETWORK", "Create a network", run)
        .flags(&[FLAGS])
        .operands(Operands::Exactly(1));

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let text = |name| arguments.text(name).to_owned();
    let switch = |name| arguments.given(name).then(|| arguments.on(name));
    let config_from = arguments.text("config-from");
    let request = CreateRequest {
        name: arguments.operand().to_owned(),
        driver: text("driver"),
        scope: text("scope"),
        enable_ipv4: switch("ipv4"),
        enable_ipv6: switch("ipv6"),
        ipam: ipam(arguments).map_err(Failure::text)?,
        internal: arguments.on("internal"),
        attachable: arguments.on("attachable"),
        ingress: arguments.on("ingress"),
        config_only: arguments.on("config-only"),
        config_from: (!config_from.is_empty())
            .then(|| ConfigReference { network: config_from.to_owned() }),
        options: Some(pairs::of(arguments.list("opt"))),
        labels: Some(pairs::of(arguments.list("label"))),
    };
    let answer: CreateResponse = session.client.post("/networks/create").json(&request).fetch()?;
    if !answer.warning.is_empty() {
        output::note(format!("WARNING: {}", answer.warning));
    }
    output::line(answer.id)
}

/// Subnets with what belongs to each; `None` where nothing was said.
fn ipam(arguments: &Arguments) -> Result<Option<Ipam>, String> {
    let parts = |name| arguments.parts_if_given(name).unwrap_or_default();
    let subnets: Vec<String> = parts("subnet");
    // One alone is the daemon's to judge.
    for (index, subnet) in subnets.iter().enumerate() {
        for other in &subnets[..index] {
            if Subnet::parse(subnet)?.meets(&Subnet::parse(other)?) {
                return Err("multiple overlapping subnet configuration is not supported".to_owned());
            }
        }
    }
    let empty = |subnet: String| IpamConfig { subnet, ..IpamConfig::default() };
    let mut configs: Vec<IpamConfig> = subnets.into_iter().map(empty).collect();
    for range in parts("ip-range") {
        let config = containing(&mut configs, &range, "range")?;
        if !config.ip_range.is_empty() {
            return Err("cannot configure multiple ranges on the same subnet".to_owned());
        }
        config.ip_range = range;
    }
    for gateway in parts("gateway") {
        let config = containing(&mut configs, &gateway, "gateway")?;
        if !config.gateway.is_empty() {
            return Err("cannot configure multiple gateways for the same subnet".to_owned());
        }
        config.gateway = gateway;
    }
    for (name, address) in pairs::of(arguments.list("aux-address")) {
        let config = containing(&mut configs, &address, "aux-address")?;
        config.auxiliary_addresses.get_or_insert_default().insert(name, address);
    }
    let driver = arguments.text("ipam-driver");
    let options = pairs::of(arguments.list("ipam-opt"));
    if configs.is_empty() && options.is_empty() && driver == "default" {
        return Ok(None);
    }
    Ok(Some(Ipam { driver: driver.to_owned(), options: Some(options), config: Some(configs) }))
}

fn containing<'c>(
    configs: &'c mut [IpamConfig],
    text: &str,
    what: &str,
) -> Result<&'c mut IpamConfig, String> {
    let address = text.split('/').next().unwrap_or_default();
    let address: IpAddr = address.parse().map_err(|_| format!("invalid {what} {text}"))?;
    for config in configs {
        if Subnet::parse(&config.subnet)?.contains(address) {
            return Ok(config);
        }
    }
    Err(format!("no matching subnet for {what} {text}"))
}

/// An address and how many of its first bits count.
struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    fn parse(text: &str) -> Result<Self, String> {
        let read = || {
            let (address, prefix) = text.split_once('/')?;
            let subnet = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            let most = if subnet.address.is_ipv4() { 32 } else { 128 };
            (subnet.prefix <= most).then_some(subnet)
        };
        read().ok_or_else(|| format!("invalid subnet: invalid CIDR address: {text}"))
    }

    fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        let unlike = (bits(self.address) ^ bits(address)).leading_zeros();
        self.address.is_ipv4() == address.is_ipv4() && unlike >= u32::from(self.prefix)
    }

    fn meets(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Ipam>, String> {
        let words = shlex::split(line).unwrap();
        ipam(&Arguments::read(&[FLAGS], &words, true).map_err(|error| error.to_string())?)
    }

    #[test]
    fn addresses_find_their_subnets() {
        assert_eq!(read("n"), Ok(None));
        let ipam = read(
            "--subnet 10.1.0.0/16,fd00::/64 --gateway fd00::1 --gateway 10.1.0.9 \
             --ip-range 10.1.2.0/24 --aux-address a=10.1.0.5 n",
        );
        let configs = ipam.unwrap().unwrap().config.unwrap();
        assert_eq!(configs[0].gateway, "10.1.0.9");
        assert_eq!(configs[0].ip_range, "10.1.2.0/24");
        assert_eq!(configs[0].auxiliary_addresses.as_ref().unwrap()["a"], "10.1.0.5");
        assert_eq!(configs[1].gateway, "fd00::1");
    }

    #[test]
    fn what_fits_no_subnet_is_refused() {
        for (line, words) in [
            ("--gateway 10.1.0.1 n", "no matching subnet for gateway 10.1.0.1"),
            ("--subnet 10.1.0.0/16 --ip-range 10.2.0.0/24 n", "no matching subnet for range"),
            ("--subnet 10.1.0.0/16 --subnet 10.1.2.0/24 n", "overlapping"),
            ("--subnet 10.1.0.0,10.2.0.0/16 n", "invalid CIDR address: 10.1.0.0"),
            ("--subnet 10.1.0.0/33 --gateway 10.1.0.1 n", "invalid CIDR address"),
        ] {
            assert!(read(line).unwrap_err().contains(words), "{line}");
        }
    }
}
