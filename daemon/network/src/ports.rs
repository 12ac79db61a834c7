//! Which host ports are published, each held by a bound socket.
//!
//! On IPv4 the kernel forwards a published port before any socket sees it; the socket is there so
//! that other programs find the port taken, and we theirs. It is bound without `SO_REUSEADDR` and
//! never listens: nobody else can bind the port then, and nothing is queued on it. On IPv6 the
//! socket listens, and is the proxy's.
//!
//! As in Docker, a request without a host address means `0.0.0.0` and `::`, with the same port.

use crate::error::PortError;
use crate::proxies::can_proxy;
use crate::{PortRequest, Protocol, PublishedPort};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

/// The kernel's default, for where it does not tell.
const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;
/// Connections that may wait for the proxy; the kernel lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// The published ports of this host.
#[derive(Debug)]
pub(crate) struct Ports {
    held: HashMap<Key, Option<OwnedFd>>,
    ephemeral: RangeInclusive<u16>,
    last: HashMap<Protocol, u16>,
    /// Ports can be published on IPv6 addresses.
    ipv6: bool,
}

/// Ports that were taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) ports: Vec<PublishedPort>,
    /// The sockets of those that need a proxy.
    pub(crate) listeners: Vec<(PublishedPort, OwnedFd)>,
}

type Key = (Protocol, IpAddr, u16);

impl Ports {
    pub(crate) fn new(ephemeral: RangeInclusive<u16>, ipv6: bool) -> Self {
        Self { held: HashMap::new(), ephemeral, last: HashMap::new(), ipv6 }
    }

    /// Takes the ports asked for, all or none.
    pub(crate) fn take_all(
        &mut self,
        requests: &[PortRequest],
        default_ip: Ipv4Addr,
    ) -> Result<Taken, PortError> {
        let mut taken = Taken::default();
        for request in requests {
            if let Err(error) = self.take(request, default_ip, &mut taken) {
                self.release(&taken.ports);
                return Err(error);
            }
        }
        Ok(taken)
    }

    /// Takes ports again that were published before a restart, whether they can be bound or not;
    /// tells those that cannot. Those on IPv6 are their proxies'.
    pub(crate) fn take_again(&mut self, ports: &[PublishedPort]) -> Vec<PortError> {
        let mut failed = Vec::new();
        for port in ports {
            let socket = match port.host_ip {
                IpAddr::V4(_) => {
                    let socket = reserve(port.protocol, port.host_ip, port.host_port);
                    socket.map_err(|error| failed.push(error)).ok().flatten()
                }
                IpAddr::V6(_) => None,
            };
            self.held.insert(key(port), socket);
        }
        failed
    }

    /// Gives ports back.
    pub(crate) fn release(&mut self, ports: &[PublishedPort]) {
        for port in ports {
            self.held.remove(&key(port));
        }
    }

    fn take(
        &mut self,
        request: &PortRequest,
        default_ip: Ipv4Addr,
        taken: &mut Taken,
    ) -> Result<(), PortError> {
        let hosts = self.hosts(request, default_ip)?;
        let wanted = request.host_port.clone().filter(|range| *range != (0..=0));
        let host_port = match wanted {
            Some(range) if range.start() == range.end() => {
                self.take_one(request.protocol, &hosts, *range.start())?;
                *range.start()
            }
            Some(range) => self.take_first(request.protocol, &hosts, range)?,
            None => {
                let (first, end) = (*self.ephemeral.start(), *self.ephemeral.end());
                let last = self.last.get(&request.protocol).copied();
                let next = last.filter(|last| *last < end).map_or(first, |last| last + 1);
                let all = (next..=end).chain(first..=end);
                let port = self.take_first(request.protocol, &hosts, all)?;
                self.last.insert(request.protocol, port);
                port
            }
        };
        let (container_port, protocol) = (request.container_port, request.protocol);
        for host_ip in hosts {
            let port = PublishedPort { container_port, protocol, host_ip, host_port };
            let socket = self.held.get_mut(&key(&port)).filter(|_| host_ip.is_ipv6());
            taken.listeners.extend(socket.and_then(Option::take).map(|fd| (port.clone(), fd)));
            taken.ports.push(port);
        }
        Ok(())
    }

    /// The host's addresses that a request means.
    fn hosts(&self, request: &PortRequest, default_ip: Ipv4Addr) -> Result<Vec<IpAddr>, PortError> {
        let ipv6 = self.ipv6 && can_proxy(request.protocol);
        match request.host_ip.map(|ip| ip.to_canonical()) {
            Some(ip @ IpAddr::V6(_)) if !ipv6 => {
                Err(PortError::Ipv6 { host_ip: ip, protocol: request.protocol })
            }
            Some(ip) => Ok(vec![ip]),
            None if default_ip.is_unspecified() && ipv6 => {
                Ok(vec![default_ip.into(), Ipv6Addr::UNSPECIFIED.into()])
            }
            None => Ok(vec![default_ip.into()]),
        }
    }

    fn take_first(
        &mut self,
        protocol: Protocol,
        hosts: &[IpAddr],
        ports: impl IntoIterator<Item = u16>,
    ) -> Result<u16, PortError> {
        for port in ports {
            match self.take_one(protocol, hosts, port) {
                Ok(()) => return Ok(port),
                Err(PortError::Allocated { .. }) => {}
                Err(PortError::Bind { source, .. })
                    if source.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(PortError::Exhausted)
    }

    /// Takes one port on all these addresses, or on none.
    fn take_one(
        &mut self,
        protocol: Protocol,
        hosts: &[IpAddr],
        port: u16,
    ) -> Result<(), PortError> {
        for (index, host_ip) in hosts.iter().enumerate() {
            if let Err(error) = self.take_at(protocol, *host_ip, port) {
                for host_ip in &hosts[..index] {
                    self.held.remove(&(protocol, *host_ip, port));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn take_at(&mut self, protocol: Protocol, ip: IpAddr, port: u16) -> Result<(), PortError> {
        let conflicts = |&(held_protocol, held_ip, held_port): &Key| {
            (held_protocol, held_port) == (protocol, port)
                && held_ip.is_ipv6() == ip.is_ipv6()
                && (held_ip == ip || held_ip.is_unspecified() || ip.is_unspecified())
        };
        if self.held.keys().any(conflicts) {
            return Err(PortError::Allocated { host_ip: ip, host_port: port });
        }
        let socket = reserve(protocol, ip, port)?;
        self.held.insert((protocol, ip, port), socket);
        Ok(())
    }
}

fn key(port: &PublishedPort) -> Key {
    (port.protocol, port.host_ip, port.host_port)
}

/// Binds a port, on IPv6 ready for a proxy; `None` for a protocol that the kernel has no sockets
/// for.
pub(crate) fn reserve(
    protocol: Protocol,
    ip: IpAddr,
    port: u16,
) -> Result<Option<OwnedFd>, PortError> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::SEQPACKET, ipproto::SCTP),
    };
    let family = if ip.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let failed = |errno: rustix::io::Errno| PortError::Bind {
        host_ip: ip,
        host_port: port,
        protocol,
        source: errno.into(),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = match socket_with(family, kind, flags, Some(number)) {
        Ok(socket) => socket,
        Err(rustix::io::Errno::PROTONOSUPPORT | rustix::io::Errno::SOCKTNOSUPPORT) => {
            return Ok(None);
        }
        Err(errno) => return Err(failed(errno)),
    };
    let prepare = || {
        if ip.is_ipv6() {
            set_ipv6_v6only(&socket, true)?;
            // Connections that a proxy has ended stay with the kernel for a minute.
            set_socket_reuseaddr(&socket, protocol == Protocol::Tcp)?;
        }
        bind(&socket, &SocketAddr::new(ip, port))?;
        if ip.is_ipv6() && protocol == Protocol::Tcp { listen(&socket, BACKLOG) } else { Ok(()) }
    };
    prepare().map_err(failed)?;
    Ok(Some(socket))
}

/// The range from which the kernel, and so Docker, gives ports that nobody chose.
pub(crate) fn ephemeral_range() -> RangeInclusive<u16> {
    let parse = |text: &str| {
        let mut numbers = text.split_whitespace().map(str::parse);
        Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
    };
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| parse(&text))
        .unwrap_or(EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

    fn request(host_port: Option<RangeInclusive<u16>>) -> PortRequest {
        PortRequest {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: Some(LOOPBACK.into()),
            host_port,
        }
    }

    fn take(ports: &mut Ports, wanted: RangeInclusive<u16>) -> Result<u16, PortError> {
        ports.take_all(&[request(Some(wanted))], LOOPBACK).map(|taken| taken.ports[0].host_port)
    }

    #[test]
    fn a_port_that_is_ours_is_allocated_and_one_of_another_program_in_use() {
        let mut ports = Ports::new(EPHEMERAL, true);
        let other = std::net::TcpListener::bind((LOOPBACK, 0)).unwrap();
        let busy = other.local_addr().unwrap().port();
        let error = take(&mut ports, busy..=busy).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("failed to bind host port 127.0.0.1:{busy}/tcp: address already in use")
        );
        drop(other);
        take(&mut ports, busy..=busy).unwrap();
        let error = take(&mut ports, busy..=busy).unwrap_err().to_string();
        assert_eq!(error, format!("Bind for 127.0.0.1:{busy} failed: port is already allocated"));
        assert!(std::net::TcpListener::bind((LOOPBACK, busy)).is_err());
    }

    #[test]
    fn a_failed_request_gives_back_what_it_took() {
        let mut ports = Ports::new(EPHEMERAL, true);
        let free = ports.take_all(&[request(None)], LOOPBACK).unwrap().ports;
        let port = free[0].host_port;
        ports.release(&free);
        let twice = [request(Some(port..=port)), request(Some(port..=port))];
        assert!(ports.take_all(&twice, LOOPBACK).is_err());
        take(&mut ports, port..=port).unwrap();
    }

    #[test]
    fn ranges_give_the_first_free_port_and_ephemeral_ones_go_round() {
        let mut ports = Ports::new(28301..=28302, true);
        let first = ports.take_all(&[request(None)], LOOPBACK).unwrap().ports;
        let second = ports.take_all(&[request(None)], LOOPBACK).unwrap().ports;
        assert_eq!((first[0].host_port, second[0].host_port), (28301, 28302));
        let error = ports.take_all(&[request(None)], LOOPBACK).unwrap_err();
        assert_eq!(error.to_string(), "all ports are allocated");
        ports.release(&first);
        assert_eq!(take(&mut ports, 28301..=28303).unwrap(), 28301);
        assert_eq!(take(&mut ports, 28301..=28303).unwrap(), 28303);
    }

    #[test]
    fn one_address_conflicts_with_all_addresses() {
        let mut ports = Ports::new(EPHEMERAL, true);
        let taken = ports.take_all(&[request(None)], LOOPBACK).unwrap().ports;
        let port = taken[0].host_port;
        let all = PortRequest { host_ip: None, ..request(Some(port..=port)) };
        let error = ports.take_all(&[all], Ipv4Addr::UNSPECIFIED).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Bind for 0.0.0.0:{port} failed: port is already allocated")
        );
    }

    #[test]
    fn no_address_means_all_of_both_families_with_one_port() {
        let mut ports = Ports::new(28311..=28320, true);
        // The port is free on IPv4 and taken on IPv6: it cannot be had.
        let other = std::net::TcpListener::bind(("::1", 28311)).unwrap();
        let anywhere = PortRequest { host_ip: None, ..request(None) };
        let taken = ports.take_all(std::slice::from_ref(&anywhere), Ipv4Addr::UNSPECIFIED).unwrap();
        let shown: Vec<_> =
            taken.ports.iter().map(|p| (p.host_ip.to_string(), p.host_port)).collect();
        assert_eq!(shown, [("0.0.0.0".to_owned(), 28312), ("::".to_owned(), 28312)]);
        assert_eq!(taken.listeners.len(), 1);
        drop(other);
        // With a default address of its own, that is the only one.
        let taken = ports.take_all(std::slice::from_ref(&anywhere), LOOPBACK).unwrap();
        assert_eq!(taken.ports.len(), 1);
        // An address that was asked for is taken as it is.
        let all = PortRequest { host_ip: Some(Ipv4Addr::UNSPECIFIED.into()), ..anywhere.clone() };
        let taken = ports.take_all(&[all], LOOPBACK).unwrap();
        assert_eq!(taken.ports[0].host_ip, Ipv4Addr::UNSPECIFIED);
        let mut without = Ports::new(28321..=28330, false);
        let taken =
            without.take_all(std::slice::from_ref(&anywhere), Ipv4Addr::UNSPECIFIED).unwrap();
        assert_eq!((taken.ports.len(), taken.listeners.len()), (1, 0));
        let six = PortRequest { host_ip: Some("::1".parse().unwrap()), ..anywhere };
        assert!(matches!(without.take_all(&[six], LOOPBACK), Err(PortError::Ipv6 { .. })));
    }
}
