//! Which host ports are published, each held by a bound socket.
//!
//! The kernel forwards a published port before any socket sees it; the socket is there so that
//! other programs find the port taken, and we theirs. It is bound without `SO_REUSEADDR` and never
//! listens: nobody else can bind the port then, and nothing is queued on it.

use crate::error::PortError;
use crate::{PortRequest, Protocol, PublishedPort};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

/// The kernel's default, for where it does not tell.
const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;

/// The published ports of this host.
#[derive(Debug)]
pub(crate) struct Ports {
    held: HashMap<Key, Option<OwnedFd>>,
    ephemeral: RangeInclusive<u16>,
    last: HashMap<Protocol, u16>,
}

type Key = (Protocol, Ipv4Addr, u16);

impl Ports {
    pub(crate) fn new(ephemeral: RangeInclusive<u16>) -> Self {
        Self { held: HashMap::new(), ephemeral, last: HashMap::new() }
    }

    /// Takes the ports asked for, all or none.
    pub(crate) fn take_all(
        &mut self,
        requests: &[PortRequest],
        default_ip: Ipv4Addr,
    ) -> Result<Vec<PublishedPort>, PortError> {
        let mut taken = Vec::with_capacity(requests.len());
        for request in requests {
            match self.take(request, default_ip) {
                Ok(port) => taken.push(port),
                Err(error) => {
                    self.release(&taken);
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    /// Takes ports again that were published before a restart, whether they can be bound or not;
    /// tells those that cannot.
    pub(crate) fn take_again(&mut self, ports: &[PublishedPort]) -> Vec<PortError> {
        let mut failed = Vec::new();
        for port in ports {
            let IpAddr::V4(ip) = port.host_ip else { continue };
            let socket = reserve(port.protocol, ip, port.host_port);
            let socket = socket.map_err(|error| failed.push(error)).ok().flatten();
            self.held.insert((port.protocol, ip, port.host_port), socket);
        }
        failed
    }

    /// Gives ports back.
    pub(crate) fn release(&mut self, ports: &[PublishedPort]) {
        for port in ports {
            if let IpAddr::V4(ip) = port.host_ip {
                self.held.remove(&(port.protocol, ip, port.host_port));
            }
        }
    }

    fn take(
        &mut self,
        request: &PortRequest,
        default_ip: Ipv4Addr,
    ) -> Result<PublishedPort, PortError> {
        let ip = match request.host_ip {
            None => default_ip,
            Some(IpAddr::V4(ip)) if ip.is_unspecified() => default_ip,
            Some(IpAddr::V4(ip)) => ip,
            Some(ip @ IpAddr::V6(_)) => return Err(PortError::Ipv6(ip)),
        };
        let wanted = request.host_port.clone().filter(|range| *range != (0..=0));
        let host_port = match wanted {
            Some(range) if range.start() == range.end() => {
                self.take_one(request.protocol, ip, *range.start())?;
                *range.start()
            }
            Some(range) => self.take_first(request.protocol, ip, range)?,
            None => {
                let (first, end) = (*self.ephemeral.start(), *self.ephemeral.end());
                let last = self.last.get(&request.protocol).copied();
                let next = last.filter(|last| *last < end).map_or(first, |last| last + 1);
                let port =
                    self.take_first(request.protocol, ip, (next..=end).chain(first..=end))?;
                self.last.insert(request.protocol, port);
                port
            }
        };
        Ok(PublishedPort {
            container_port: request.container_port,
            protocol: request.protocol,
            host_ip: ip.into(),
            host_port,
        })
    }

    fn take_first(
        &mut self,
        protocol: Protocol,
        ip: Ipv4Addr,
        ports: impl IntoIterator<Item = u16>,
    ) -> Result<u16, PortError> {
        for port in ports {
            match self.take_one(protocol, ip, port) {
                Ok(()) => return Ok(port),
                Err(PortError::Allocated { .. }) => {}
                Err(PortError::Bind { source, .. })
                    if source.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(PortError::Exhausted)
    }

    fn take_one(&mut self, protocol: Protocol, ip: Ipv4Addr, port: u16) -> Result<(), PortError> {
        let taken = |ip| self.held.contains_key(&(protocol, ip, port));
        let conflict = if ip.is_unspecified() {
            self.held.keys().any(|(p, _, n)| (*p, *n) == (protocol, port))
        } else {
            taken(ip) || taken(Ipv4Addr::UNSPECIFIED)
        };
        if conflict {
            return Err(PortError::Allocated { host_ip: ip.into(), host_port: port });
        }
        let socket = reserve(protocol, ip, port)?;
        self.held.insert((protocol, ip, port), socket);
        Ok(())
    }
}

/// Binds a port; `None` for a protocol that the kernel has no sockets for.
fn reserve(protocol: Protocol, ip: Ipv4Addr, port: u16) -> Result<Option<OwnedFd>, PortError> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::SEQPACKET, ipproto::SCTP),
    };
    let failed = |errno: rustix::io::Errno| PortError::Bind {
        host_ip: ip.into(),
        host_port: port,
        protocol,
        source: errno.into(),
    };
    let socket = match socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, Some(number)) {
        Ok(socket) => socket,
        Err(rustix::io::Errno::PROTONOSUPPORT | rustix::io::Errno::SOCKTNOSUPPORT) => {
            return Ok(None);
        }
        Err(errno) => return Err(failed(errno)),
    };
    bind(&socket, &SocketAddrV4::new(ip, port)).map_err(failed)?;
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
        ports.take_all(&[request(Some(wanted))], LOOPBACK).map(|taken| taken[0].host_port)
    }

    #[test]
    fn a_port_that_is_ours_is_allocated_and_one_of_another_program_in_use() {
        let mut ports = Ports::new(EPHEMERAL);
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
        let mut ports = Ports::new(EPHEMERAL);
        let free = ports.take_all(&[request(None)], LOOPBACK).unwrap();
        let port = free[0].host_port;
        ports.release(&free);
        let twice = [request(Some(port..=port)), request(Some(port..=port))];
        assert!(ports.take_all(&twice, LOOPBACK).is_err());
        take(&mut ports, port..=port).unwrap();
    }

    #[test]
    fn ranges_give_the_first_free_port_and_ephemeral_ones_go_round() {
        let mut ports = Ports::new(47301..=47302);
        let first = ports.take_all(&[request(None)], LOOPBACK).unwrap();
        let second = ports.take_all(&[request(None)], LOOPBACK).unwrap();
        assert_eq!((first[0].host_port, second[0].host_port), (47301, 47302));
        let error = ports.take_all(&[request(None)], LOOPBACK).unwrap_err();
        assert_eq!(error.to_string(), "all ports are allocated");
        ports.release(&first);
        assert_eq!(take(&mut ports, 47301..=47303).unwrap(), 47301);
        assert_eq!(take(&mut ports, 47301..=47303).unwrap(), 47303);
    }

    #[test]
    fn one_address_conflicts_with_all_addresses() {
        let mut ports = Ports::new(EPHEMERAL);
        let taken = ports.take_all(&[request(None)], LOOPBACK).unwrap();
        let port = taken[0].host_port;
        let all = PortRequest { host_ip: None, ..request(Some(port..=port)) };
        let error = ports.take_all(&[all], Ipv4Addr::UNSPECIFIED).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Bind for 0.0.0.0:{port} failed: port is already allocated")
        );
    }
}
