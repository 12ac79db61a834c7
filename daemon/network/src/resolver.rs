//! The contents of a container's `resolv.conf` and `hosts`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// Docker's choice where the host has no name server that a container can reach.
const DEFAULT_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];
/// Where systemd-resolved, which itself listens on a loopback address, tells the real servers.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
const HOST: &str = "/etc/resolv.conf";

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

/// What the host's resolver is told; empty where it is told nothing.
#[must_use]
pub fn host_resolv_conf() -> String {
    let host = std::fs::read_to_string(HOST).unwrap_or_default();
    let servers = values(&host, "nameserver");
    if servers == ["127.0.0.53"] {
        return std::fs::read_to_string(RESOLVED).unwrap_or(host);
    }
    host
}

/// A container's `resolv.conf`, from the host's content and the user's options.
///
/// As in Docker, name servers on the host's loopback (and IPv6 ones, which the default network
/// cannot reach) are left out; where none remains, Google's are used.
#[must_use]
pub fn resolv_conf(host: &str, options: &ResolverOptions) -> String {
    let mut servers = options.servers.clone();
    if servers.is_empty() {
        let usable = |server: &IpAddr| server.is_ipv4() && !server.is_loopback();
        servers.extend(values(host, "nameserver").iter().flat_map(|s| s.parse()).filter(usable));
    }
    if servers.is_empty() {
        servers.extend(DEFAULT_SERVERS);
    }
    let or_host = |own: &[String], keyword| {
        if own.is_empty() { last_line(host, keyword) } else { own.to_vec() }
    };
    let mut search = or_host(&options.search, "search");
    if search == ["."] {
        search.clear();
    }
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (keyword, words) in [("search", search), ("options", or_host(&options.options, "options"))]
    {
        if !words.is_empty() {
            let _ = writeln!(text, "{keyword} {}", words.join(" "));
        }
    }
    text
}

/// The first word after each `keyword`.
fn values(text: &str, keyword: &str) -> Vec<String> {
    lines(text, keyword).filter_map(|mut words| words.next().map(str::to_owned)).collect()
}

/// All words after the last `keyword`: a later line replaces an earlier one (resolv.conf(5)).
fn last_line(text: &str, keyword: &str) -> Vec<String> {
    lines(text, keyword).last().into_iter().flatten().map(str::to_owned).collect()
}

fn lines<'a>(
    text: &'a str,
    keyword: &'a str,
) -> impl Iterator<Item = std::str::SplitWhitespace<'a>> {
    text.lines().filter_map(move |line| {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        (words.next() == Some(keyword)).then_some(words)
    })
}

/// A container's `hosts`, from its host name, addresses and `--add-host` pairs.
#[must_use]
pub fn hosts_file(
    hostname: &str,
    domain: &str,
    addresses: &[Ipv4Addr],
    extra: &[(String, IpAddr)],
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    for address in addresses {
        let _ = if domain.is_empty() {
            writeln!(text, "{address}\t{hostname}")
        } else {
            writeln!(text, "{address}\t{hostname}.{domain} {hostname}")
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_a_container_cannot_reach_are_left_out() {
        let host = "# by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.2 # ours\n\
                    nameserver fd00::1\nsearch old\nsearch a.example b.example\noptions ndots:2\n";
        assert_eq!(
            resolv_conf(host, &ResolverOptions::default()),
            "nameserver 10.0.0.2\nsearch a.example b.example\noptions ndots:2\n"
        );
    }

    #[test]
    fn without_a_usable_server_the_defaults_are_taken() {
        let text = resolv_conf("nameserver ::1\n", &ResolverOptions::default());
        assert_eq!(text, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }

    #[test]
    fn what_the_user_says_replaces_what_the_host_has() {
        let options = ResolverOptions {
            servers: vec!["127.0.0.1".parse().unwrap()],
            search: vec![".".to_owned()],
            options: vec!["edns0".to_owned()],
        };
        let text = resolv_conf("nameserver 10.0.0.2\nsearch a.example\n", &options);
        assert_eq!(text, "nameserver 127.0.0.1\noptions edns0\n");
    }

    #[test]
    fn hosts_end_with_the_container_itself() {
        let extra = [("db".to_owned(), "10.0.0.9".parse().unwrap())];
        let text = hosts_file("web", "example.com", &[Ipv4Addr::new(172, 17, 0, 2)], &extra);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\t"));
        assert!(text.ends_with("10.0.0.9\tdb\n172.17.0.2\tweb.example.com web\n"));
    }
}
