//! End-to-end tests: containers' networks and published ports, through clients and sockets.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use tests_engine::Client;
use tests_harness::wait;

const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(1);

/// The page on which a `web` container tells its own address.
///
/// # Errors
/// Nobody answers, or not with a page.
pub fn page(address: impl Into<IpAddr>, port: u16) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let target = SocketAddr::new(address.into(), port);
    let mut stream = TcpStream::connect_timeout(&target, CONNECT).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    write!(stream, "GET /cgi-bin/address HTTP/1.0\r\n\r\n").map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned()).ok_or(answer)
}

/// As [`page`], from this machine's loopback, once the server is there.
///
/// # Panics
/// When nobody answers for a minute.
#[must_use]
pub fn page_soon(port: u16) -> String {
    wait::until("the server to answer", Duration::from_secs(60), || page(Ipv4Addr::LOCALHOST, port))
}

/// The host's address in the default network.
///
/// # Panics
/// When the network cannot be inspected.
#[must_use]
pub fn gateway(client: &Client<'_>) -> Ipv4Addr {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let text = client.ok(&["network", "inspect", "-f", format, "bridge"]);
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no address"))
}

/// A container's address in the default network; empty when it has none.
#[must_use]
pub fn address(client: &Client<'_>, name: &str) -> String {
    let format = "{{(index .NetworkSettings.Networks \"bridge\").IPAddress}}";
    client.ok(&["inspect", "-f", format, name])
}
