//! `network connect` and `network disconnect`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::pairs;
use crate::session::Session;
use contracts_engine_api::network::{
    ConnectRequest, DisconnectRequest, EndpointIpamConfig, EndpointSettings,
};

static CONNECT_FLAGS: &[Flag] = &[
    Flag::new("alias", Kind::Texts, "Add a name that the container has on this network"),
    Flag::new("driver-opt", Kind::Texts, "Options of the network's driver"),
    Flag::new("gw-priority", Kind::Int, "The network with the highest has the default gateway")
        .default("0"),
    Flag::new("ip", Kind::Text, "IPv4 address (e.g., \"172.30.100.104\")"),
    Flag::new("ip6", Kind::Text, "IPv6 address (e.g., \"2001:db8::33\")"),
    Flag::new("link", Kind::List, "Add a link to another container"),
    Flag::new("link-local-ip", Kind::Texts, "Add a link-local address"),
];

/// `network connect`.
pub(super) static CONNECT: Command = Command::new(
    "connect",
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    connect,
)
.flags(&[CONNECT_FLAGS])
.operands(Operands::Exactly(2))
.names(Names::Networks);

static DISCONNECT_FLAGS: &[Flag] =
    &[Flag::new("force", Kind::Switch, "Force the container to disconnect from a network")
        .short('f')
        .default("false")];

/// `network disconnect`.
pub(super) static DISCONNECT: Command = Command::new(
    "disconnect",
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    disconnect,
)
.flags(&[DISCONNECT_FLAGS])
.operands(Operands::Exactly(2))
.names(Names::Networks);

fn connect(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let text = |name| arguments.text(name).to_owned();
    let addresses = EndpointIpamConfig {
        ipv4_address: text("ip"),
        ipv6_address: text("ip6"),
        link_local_ips: arguments.parts_if_given("link-local-ip"),
    };
    let options = arguments.parts_if_given("driver-opt");
    let settings = EndpointSettings {
        ipam_config: (addresses != EndpointIpamConfig::default()).then_some(addresses),
        links: arguments.texts_if_given("link"),
        aliases: arguments.parts_if_given("alias"),
        driver_opts: options.map(|options| pairs::of(options.iter().map(String::as_str))),
        gw_priority: arguments.int("gw-priority"),
        ..EndpointSettings::default()
    };
    let request = ConnectRequest {
        container: arguments.operands[1].clone(),
        endpoint_config: Some(settings),
    };
    let path = format!("/networks/{}/connect", arguments.operand());
    Ok(session.client.post(path).json(&request).run()?)
}

fn disconnect(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let request = DisconnectRequest {
        container: arguments.operands[1].clone(),
        force: arguments.on("force"),
    };
    let path = format!("/networks/{}/disconnect", arguments.operand());
    Ok(session.client.post(path).json(&request).run()?)
}
