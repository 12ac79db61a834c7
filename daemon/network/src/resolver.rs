//! The contents of a container's `resolv.conf` and `hosts`.

use std::net::{IpAddr, Ipv4Addr};

/// `--dns`, `--dns-search` and `--dns-option`; empty lists take the host's.
#[derive(Clone, Debug, Default)]
pub struct ResolverOptions {
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Search domains; a single `.` means none.
    pub search: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

/// A container's `resolv.conf`, from the host's content and the user's options.
///
/// As in Docker, name servers on the host's loopback (and IPv6 ones, which the default network
/// cannot reach) are left out; where none remains, Google's are used.
#[must_use]
pub fn resolv_conf(host: &str, options: &ResolverOptions) -> String {
    let _ = (host, options);
    String::new()
}

/// A container's `hosts`, from its host name, addresses and `--add-host` pairs.
#[must_use]
pub fn hosts_file(
    hostname: &str,
    domain: &str,
    addresses: &[Ipv4Addr],
    extra: &[(String, IpAddr)],
) -> String {
    let _ = (hostname, domain, addresses, extra);
    String::new()
}
