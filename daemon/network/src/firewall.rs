//! The packet filter: one table of ours, and two rules in Docker's chain.
//!
//! Table `ip gantry` (with the bridge's name added for further daemons):
//!
//! | chain | what it does |
//! |---|---|
//! | `raw-prerouting` | drops packets from elsewhere to loopback addresses: published to 127.0.0.1 means just that, and `route_localnet` on the bridge opens nothing |
//! | `prerouting`, `output` | published ports: first by address and port, then by port on any address of this host |
//! | `postrouting` | the host's address for what leaves the subnet, for the host's loopback, and for containers that call a published port (hairpin) |
//! | `forward` | lets answers, published ports and what containers send through; drops all else to containers, so that nobody outside reaches their own addresses |
//!
//! Published ports are elements of two maps, so that publishing costs one hash insert, however
//! many there are. The table is replaced whole, in one transaction and with all elements, when
//! the daemon starts or finds it damaged: connections do not notice.

use crate::{Ipv4Subnet, Protocol, PublishedPort};
use kernel_netlink::Error;
use kernel_netlink::nftables::{
    Batch, Chain, ChainHook, ChainKind, Expression, Field, Map, NftablesSocket, Rule,
};
use std::net::{IpAddr, Ipv4Addr};

/// Ports published on one address.
const BY_ADDRESS: &str = "published";
/// Ports published on every address.
const BY_PORT: &str = "published-anywhere";
/// The address and port inside, as the maps have them.
const INSIDE: [Field; 2] = [Field::Ipv4Address, Field::Port];

/// What the rules are about.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) bridge: String,
    pub(crate) subnet: Ipv4Subnet,
    pub(crate) inter_container: bool,
    pub(crate) masquerade: bool,
}

/// A published port and the address of its container.
#[derive(Clone, Debug)]
pub(crate) struct Forwarding {
    pub(crate) port: PublishedPort,
    pub(crate) container: Ipv4Addr,
}

/// The packet filter of one bridge.
#[derive(Debug)]
pub(crate) struct Firewall {
    socket: NftablesSocket,
    scope: Scope,
    table: String,
    published: Vec<Forwarding>,
}

impl Firewall {
    /// Puts the whole table in place, with these published ports.
    pub(crate) fn open(scope: Scope, published: Vec<Forwarding>) -> Result<Self, Error> {
        let table = match scope.bridge.as_str() {
            "gantry0" => "gantry".to_owned(),
            other => format!("gantry-{other}"),
        };
        let mut firewall = Self { socket: NftablesSocket::open()?, scope, table, published };
        firewall.replace()?;
        Ok(firewall)
    }

    /// Publishes ports. When that fails (someone may have flushed the rules), the whole table is
    /// put in place anew.
    pub(crate) fn publish(&mut self, forwardings: &[Forwarding]) -> Result<(), Error> {
        let before = self.published.len();
        self.published.extend_from_slice(forwardings);
        let mut batch = Batch::new();
        self.add_elements(&mut batch, forwardings);
        self.socket.apply(&batch).or_else(|_| self.replace()).inspect_err(|_| {
            self.published.truncate(before);
        })
    }

    /// Takes published ports back; likewise.
    pub(crate) fn withdraw(&mut self, ports: &[PublishedPort]) -> Result<(), Error> {
        let before = self.published.clone();
        self.published.retain(|forwarding| !ports.contains(&forwarding.port));
        let mut batch = Batch::new();
        for (map, key) in ports.iter().filter_map(element_key) {
            batch.delete_element(&self.table, map, &key);
        }
        let result = self.socket.apply(&batch).or_else(|_| self.replace());
        if result.is_err() {
            self.published = before;
        }
        result
    }

    fn replace(&mut self) -> Result<(), Error> {
        let mut batch = Batch::new();
        // Deleting needs a table, adding twice does no harm.
        batch.add_table(&self.table);
        batch.delete_table(&self.table);
        batch.add_table(&self.table);
        let by_address = [Field::Protocol, Field::Ipv4Address, Field::Port];
        batch.add_map(&self.table, &Map { name: BY_ADDRESS, key: &by_address, value: &INSIDE });
        let by_port = [Field::Protocol, Field::Port];
        batch.add_map(&self.table, &Map { name: BY_PORT, key: &by_port, value: &INSIDE });
        for (chain, rules) in self.chains() {
            batch.add_chain(&self.table, &chain);
            for rule in rules {
                batch.append_rule(&self.table, chain.name, &Rule(rule));
            }
        }
        self.add_elements(&mut batch, &self.published);
        self.socket.apply(&batch)
    }

    /// Removes everything of ours.
    pub(crate) fn remove(&mut self) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.add_table(&self.table);
        batch.delete_table(&self.table);
        for handle in self.rules_in_docker_user()?.unwrap_or_default() {
            batch.delete_rule(DOCKER_TABLE, DOCKER_CHAIN, handle);
        }
        self.socket.apply(&batch)
    }

    /// A running dockerd lets the kernel drop what is forwarded for others. Its chain for users
    /// comes first: accept our bridge's packets there.
    pub(crate) fn answer_docker(&mut self) -> Result<(), Error> {
        match self.rules_in_docker_user()? {
            Some(rules) if rules.is_empty() => {}
            _ => return Ok(()),
        }
        let bridge = &self.scope.bridge;
        let mut batch = Batch::new();
        for interface in [
            Expression::OutputInterface(bridge.clone()),
            Expression::InputInterface(bridge.clone()),
        ] {
            let rule = Rule(vec![interface, Expression::Count, Expression::Accept]);
            batch.insert_rule(DOCKER_TABLE, DOCKER_CHAIN, &rule);
        }
        self.socket.apply(&batch)
    }

    /// The handles of our rules in `DOCKER-USER`; `None` where that chain is not.
    fn rules_in_docker_user(&mut self) -> Result<Option<Vec<u64>>, Error> {
        if !self.socket.has_chain(DOCKER_TABLE, DOCKER_CHAIN)? {
            return Ok(None);
        }
        self.socket.rules_mentioning(DOCKER_TABLE, DOCKER_CHAIN, &self.scope.bridge).map(Some)
    }

    fn add_elements(&self, batch: &mut Batch, forwardings: &[Forwarding]) {
        for Forwarding { port, container } in forwardings {
            let Some((map, key)) = element_key(port) else { continue };
            let mut value = container.octets().to_vec();
            value.extend(port_field(port.container_port));
            batch.add_element(&self.table, map, &key, &value);
        }
    }

    fn chains(&self) -> Vec<(Chain<'static>, Vec<Vec<Expression>>)> {
        let chain = |name, kind, hook, priority| Chain { name, kind, hook, priority };
        vec![
            (
                chain("raw-prerouting", ChainKind::Filter, ChainHook::Prerouting, -300),
                vec![loopback_guard()],
            ),
            (chain("prerouting", ChainKind::Nat, ChainHook::Prerouting, -100), translations()),
            (chain("output", ChainKind::Nat, ChainHook::Output, -100), translations()),
            (chain("postrouting", ChainKind::Nat, ChainHook::Postrouting, 100), self.disguises()),
            (chain("forward", ChainKind::Filter, ChainHook::Forward, 0), self.forwards()),
        ]
    }

    fn disguises(&self) -> Vec<Vec<Expression>> {
        let Scope { bridge, subnet, masquerade, .. } = &self.scope;
        let (network, length) = (subnet.network(), subnet.prefix_length());
        let published_to = |source, length| {
            vec![
                Expression::OutputInterface(bridge.clone()),
                Expression::DestinationTranslated,
                Expression::Source(source, length),
                Expression::Masquerade,
            ]
        };
        let mut rules =
            vec![published_to(Ipv4Addr::new(127, 0, 0, 0), 8), published_to(network, length)];
        if *masquerade {
            rules.push(vec![
                Expression::Source(network, length),
                Expression::OutputInterfaceNot(bridge.clone()),
                Expression::Masquerade,
            ]);
        }
        rules
    }

    fn forwards(&self) -> Vec<Vec<Expression>> {
        let Scope { bridge, inter_container, .. } = &self.scope;
        let from = Expression::InputInterface(bridge.clone());
        let to = Expression::OutputInterface(bridge.clone());
        let between = if *inter_container { Expression::Accept } else { Expression::Drop };
        vec![
            vec![to.clone(), Expression::Following, Expression::Accept],
            vec![to.clone(), Expression::DestinationTranslated, Expression::Accept],
            vec![from.clone(), to.clone(), between],
            vec![from, Expression::Accept],
            vec![to, Expression::Drop],
        ]
    }
}

/// The class of CVE-2020-8558. Forged loopback *sources* need no rule: the kernel refuses any
/// packet from outside whose source is an address of this host.
fn loopback_guard() -> Vec<Expression> {
    vec![
        Expression::InputInterfaceNot("lo".to_owned()),
        Expression::Destination(Ipv4Addr::new(127, 0, 0, 0), 8),
        Expression::Drop,
    ]
}

const DOCKER_TABLE: &str = "filter";
const DOCKER_CHAIN: &str = "DOCKER-USER";

fn translations() -> Vec<Vec<Expression>> {
    [
        Expression::TranslateByAddressAndPort(BY_ADDRESS.to_owned()),
        Expression::TranslateByPort(BY_PORT.to_owned()),
    ]
    .map(|translate| vec![Expression::DestinationIsLocal, translate])
    .to_vec()
}

/// The map that a published port is in, and its key there.
fn element_key(port: &PublishedPort) -> Option<(&'static str, Vec<u8>)> {
    let IpAddr::V4(ip) = port.host_ip else { return None };
    let mut key = vec![protocol_number(port.protocol), 0, 0, 0];
    let map = if ip.is_unspecified() {
        BY_PORT
    } else {
        key.extend(ip.octets());
        BY_ADDRESS
    };
    key.extend(port_field(port.host_port));
    Some((map, key))
}

/// A port in network byte order, padded to four bytes.
fn port_field(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

const fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}
