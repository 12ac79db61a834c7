//! Reading and checking what `POST /containers/create` asks for; texts are dockerd's.

use super::stop::parse_signal;
use crate::error::{Error, Result};
use crate::record::{MountKind, MountRecord};
use crate::spec::{SecurityOptions, capabilities};
use contracts_engine_api::container::{Config, HostConfig, Mount};
use contracts_engine_api::network::EndpointSettings;
use daemon_network::Protocol;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Least memory limit.
const MIN_MEMORY: i64 = 6 << 20;

/// Checks what the options say about each other, before anything is filled in.
pub(super) fn check_modes(config: &Config, host: &HostConfig) -> Result<()> {
    let conflict = |what: &str| Err(Error::Invalid(format!("conflicting options: {what}")));
    let any = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return conflict("hostname and the UTS mode");
    }
    let Some(other) = host.network_mode.strip_prefix("container:") else { return Ok(()) };
    if other.is_empty() {
        return Err(Error::invalid("invalid container format container:<name|id>"));
    }
    // Names, addresses and ports are those of the container that is joined.
    let ports = host.port_bindings.as_ref().is_some_and(|map| !map.is_empty());
    match () {
        () if !config.hostname.is_empty() => conflict("hostname and the network mode"),
        () if any(&host.dns) => conflict("dns and the network mode"),
        () if any(&host.extra_hosts) => conflict("custom host-to-IP mapping and the network mode"),
        () if config.mac_address.as_ref().is_some_and(|mac| !mac.is_empty()) => {
            conflict("mac-address and the network mode")
        }
        () if ports || host.publish_all_ports => {
            conflict("port publishing and the container type network mode")
        }
        () if config.exposed_ports.as_ref().is_some_and(|map| !map.is_empty()) => {
            conflict("port exposing and the container type network mode")
        }
        () => Ok(()),
    }
}

/// Checks what does not depend on the machine.
pub(super) fn check(config: &Config, host: &HostConfig) -> Result<()> {
    let invalid = |text: String| Err(Error::Invalid(text));
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        ));
    }
    if !config.stop_signal.is_empty() && parse_signal(&config.stop_signal).is_none() {
        return invalid(format!("invalid signal: {}", config.stop_signal));
    }
    for variable in config.env.iter().flatten() {
        if variable.is_empty() || variable.starts_with('=') {
            return invalid(format!("invalid environment variable: {variable}"));
        }
    }
    check_health(config)?;
    check_restart(host)?;
    check_resources(host)?;
    let names = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    capabilities::normalize("CapAdd", &names(&host.cap_add))?;
    capabilities::normalize("CapDrop", &names(&host.cap_drop))?;
    SecurityOptions::parse(host)?;
    let bound = host.port_bindings.iter().flatten().map(|(key, _)| key);
    let exposed = config.exposed_ports.iter().flatten().map(|(key, _)| key);
    for key in bound.chain(exposed) {
        if parse_port(key).is_none() {
            // dockerd finds this out while it decodes the body.
            let port = key.split('/').next().unwrap_or_default();
            return invalid(format!("invalid JSON: invalid port '{port}': invalid syntax"));
        }
    }
    for binding in
        host.port_bindings.iter().flatten().filter_map(|(_, list)| list.as_ref()).flatten()
    {
        if !matches!(binding.host_port.as_str(), "" | "0")
            && parse_port_range(&binding.host_port).is_none()
        {
            return invalid(format!("invalid port specification: \"{}\"", binding.host_port));
        }
    }
    check_addresses(host)
}

/// An address that cannot be read must not become "any address" later on.
fn check_addresses(host: &HostConfig) -> Result<()> {
    let bindings = host.port_bindings.iter().flatten().filter_map(|(_, list)| list.as_ref());
    let bound = bindings.flatten().map(|binding| &binding.host_ip).filter(|text| !text.is_empty());
    for text in bound.chain(host.dns.iter().flatten()) {
        if text.parse::<IpAddr>().is_err() {
            // dockerd finds this out while it decodes the body.
            let why = format!("invalid JSON: ParseAddr({text:?}): unable to parse IP");
            return Err(Error::Invalid(why));
        }
    }
    for extra in host.extra_hosts.iter().flatten() {
        let bad = || Error::Invalid(format!("bad format for add-host: \"{extra}\""));
        let (name, address) = split_extra_host(extra).ok_or_else(bad)?;
        if name.is_empty() {
            return Err(bad());
        }
        if address != HOST_GATEWAY && parse_address(address).is_none() {
            let why = format!("invalid IP address in add-host: \"{address}\"");
            return Err(Error::Invalid(why));
        }
    }
    Ok(())
}

/// Checks the addresses that are wanted in networks.
pub(super) fn check_endpoint(settings: &EndpointSettings) -> Result<()> {
    let wrong = |what: &str, text: &str| {
        Err(Error::Invalid(format!("invalid endpoint settings:\ninvalid {what} address: {text}")))
    };
    let address = settings.ipam_config.as_ref().map_or("", |ipam| ipam.ipv4_address.as_str());
    if !address.is_empty() && address.parse::<Ipv4Addr>().is_err() {
        return wrong("IPv4", address);
    }
    let mac = &settings.mac_address;
    if !mac.is_empty() && mac.parse::<daemon_network::MacAddress>().is_err() {
        return wrong("MAC", mac);
    }
    Ok(())
}

/// What stands for the host in `--add-host`.
pub(super) const HOST_GATEWAY: &str = "host-gateway";

/// `name:address` or `name=address`.
pub(super) fn split_extra_host(text: &str) -> Option<(&str, &str)> {
    text.split_once(['=', ':'])
}

/// An address, an IPv6 one with or without its brackets.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    text.trim_matches(['[', ']']).parse().ok()
}

fn check_health(config: &Config) -> Result<()> {
    const MILLISECOND: i64 = 1_000_000;
    let Some(health) = &config.healthcheck else { return Ok(()) };
    for (name, value) in [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ] {
        if value != 0 && value < MILLISECOND {
            let text = format!("{name} in Healthcheck cannot be less than 1ms");
            return Err(Error::Invalid(text));
        }
    }
    if health.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

fn check_restart(host: &HostConfig) -> Result<()> {
    let policy = &host.restart_policy;
    let restarts = !matches!(policy.name.as_str(), "" | "no");
    if host.auto_remove && restarts {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    match policy.name.as_str() {
        "" | "no" | "always" | "unless-stopped" if policy.maximum_retry_count != 0 => {
            let text =
                "invalid restart policy: maximum retry count can only be used with 'on-failure'";
            Err(Error::invalid(text))
        }
        "on-failure" if policy.maximum_retry_count < 0 => {
            let text = "invalid restart policy: maximum retry count cannot be negative";
            Err(Error::invalid(text))
        }
        "" | "no" | "always" | "unless-stopped" | "on-failure" => Ok(()),
        other => Err(Error::Invalid(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', \
             'on-failure', or 'unless-stopped'"
        ))),
    }
}

fn check_resources(host: &HostConfig) -> Result<()> {
    let invalid = |text: &str| Err(Error::invalid(text));
    if host.memory != 0 && host.memory < MIN_MEMORY {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if host.memory == 0 && host.memory_swap > 0 {
        return invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    if host.memory_swappiness.is_some_and(|value| !(-1..=100).contains(&value)) {
        let value = host.memory_swappiness.unwrap_or_default();
        return Err(Error::Invalid(format!(
            "Invalid value: {value}, valid memory swappiness range is 0-100"
        )));
    }
    if host.memory > 0 && host.memory_reservation > host.memory {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    if host.nano_cpus < 0 {
        return invalid("Range of CPUs is invalid");
    }
    if host.nano_cpus > 0 && (host.cpu_period > 0 || host.cpu_quota > 0) {
        let other = if host.cpu_period > 0 { "CPU Period" } else { "CPU Quota" };
        return Err(Error::Invalid(format!(
            "Conflicting options: Nano CPUs and {other} cannot both be set"
        )));
    }
    let cpus = crate::system::processors();
    if host.nano_cpus > i64::from(cpus) * 1_000_000_000 {
        return Err(Error::Invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(Error::Invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    if host.shm_size < 0 {
        return invalid("SHM size can not be less than 0");
    }
    Ok(())
}

/// `80/tcp`, `80`: a container's port.
pub(super) fn parse_port(text: &str) -> Option<(u16, Protocol)> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some((number.parse().ok().filter(|number| *number > 0)?, protocol))
}

/// `8080`, `8000-9000`: a host's port or range; nothing and 0 mean any.
pub(super) fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

/// `10m`, `1g`, `1024`: a size with a binary unit.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.trim().parse().ok()?;
    let unit: f64 = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1_048_576.0,
        "g" => 1_073_741_824.0,
        "t" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = number * unit;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be positive; sizes beyond 2^53 mean nothing here"
    )]
    (1.0..9e15).contains(&bytes).then_some(bytes as u64)
}

// Mounts.

/// A volume that a mount wants, before it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) mount: MountRecord,
    /// Labels for a volume that is made for it.
    pub(super) labels: Option<std::collections::BTreeMap<String, String>>,
    /// Fill a new volume with the image's content.
    pub(super) copy: bool,
    /// Make a bind's source when it is missing.
    pub(super) create_source: bool,
}

/// All mounts of a request: `-v`, `--mount`, `--tmpfs`, and the image's anonymous volumes.
pub(super) fn mounts(config: &Config, host: &HostConfig) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for text in host.binds.iter().flatten() {
        all.push(parse_bind(text)?);
    }
    for mount in host.mounts.iter().flatten() {
        all.push(parse_mount(mount)?);
    }
    for (destination, options) in host.tmpfs.iter().flatten() {
        all.push(tmpfs(destination, options));
    }
    let mut seen = BTreeSet::new();
    for wanted in &all {
        if !seen.insert(wanted.mount.destination.clone()) {
            let text = format!("Duplicate mount point: {}", wanted.mount.destination);
            return Err(Error::Invalid(text));
        }
    }
    for destination in config.volumes.iter().flatten().map(|(destination, _)| destination) {
        let destination = clean(destination);
        if destination == "/" {
            return Err(Error::invalid("invalid volume specification: '/'"));
        }
        if seen.insert(destination.clone()) {
            all.push(volume("", &destination, true, ""));
        }
    }
    Ok(all)
}

/// Removes what `.`, `..` and double slashes mean.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

fn volume(name: &str, destination: &str, writable: bool, mode: &str) -> Wanted {
    Wanted {
        mount: MountRecord {
            kind: MountKind::Volume {
                name: name.to_owned(),
                source: PathBuf::new(),
                anonymous: name.is_empty(),
                subpath: String::new(),
            },
            destination: destination.to_owned(),
            writable,
            mode: mode.to_owned(),
            propagation: String::new(),
        },
        labels: None,
        copy: true,
        create_source: false,
    }
}

fn tmpfs(destination: &str, options: &str) -> Wanted {
    let options: Vec<String> =
        options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    Wanted {
        mount: MountRecord {
            writable: !options.iter().any(|option| option == "ro"),
            kind: MountKind::Tmpfs { options },
            destination: clean(destination),
            mode: String::new(),
            propagation: String::new(),
        },
        labels: None,
        copy: false,
        create_source: false,
    }
}

/// `-v [source:]destination[:mode]`.
fn parse_bind(text: &str) -> Result<Wanted> {
    let invalid = || Error::Invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts[..] {
        [destination] => ("", destination, ""),
        // A second part that is no path is a mode.
        [destination, mode] if destination.starts_with('/') && !mode.starts_with('/') => {
            ("", destination, mode)
        }
        [source, destination] => (source, destination, ""),
        [source, destination, mode] => (source, destination, mode),
        _ => return Err(invalid()),
    };
    if !destination.starts_with('/') || (parts.len() > 1 && source.is_empty() && mode.is_empty()) {
        return Err(invalid());
    }
    let destination = clean(destination);
    if destination == "/" {
        return Err(Error::internal_text("invalid specification: destination can't be '/'".into()));
    }
    let (mut writable, mut copy, mut propagation) = (true, true, String::new());
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" => writable = true,
            "ro" => writable = false,
            "nocopy" => copy = false,
            "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                option.clone_into(&mut propagation);
            }
            _ => return Err(Error::Invalid(format!("invalid mode: {mode}"))),
        }
    }
    if !source.starts_with('/') {
        let mut wanted = volume(source, &destination, writable, mode);
        wanted.copy = copy;
        return Ok(wanted);
    }
    if propagation.is_empty() {
        "rprivate".clone_into(&mut propagation);
    }
    Ok(Wanted {
        mount: MountRecord {
            kind: MountKind::Bind {
                source: PathBuf::from(clean(source)),
                non_recursive: false,
                read_only_recursive: true,
            },
            destination,
            writable,
            mode: mode.to_owned(),
            propagation,
        },
        labels: None,
        copy: false,
        create_source: true,
    })
}

/// `--mount`.
fn parse_mount(mount: &Mount) -> Result<Wanted> {
    let invalid = |why: &str| {
        Error::Invalid(format!("invalid mount config for type \"{}\": {why}", mount.kind))
    };
    if mount.target.is_empty() {
        return Err(invalid("field Target must not be empty"));
    }
    if !mount.target.starts_with('/') {
        return Err(invalid(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.target
        )));
    }
    let destination = clean(&mount.target);
    if destination == "/" {
        return Err(invalid("invalid specification: destination can't be '/'"));
    }
    match mount.kind.as_str() {
        "bind" => {
            if mount.source.is_empty() {
                return Err(invalid("field Source must not be empty"));
            }
            if !mount.source.starts_with('/') {
                return Err(invalid(&format!(
                    "invalid mount path: '{}' mount path must be absolute",
                    mount.source
                )));
            }
            let options = mount.bind_options.clone().unwrap_or_default();
            if !options.create_mountpoint && !Path::new(&mount.source).exists() {
                return Err(invalid(&format!("bind source path does not exist: {}", mount.source)));
            }
            let default =
                if options.propagation.is_empty() { "rprivate" } else { &options.propagation };
            Ok(Wanted {
                mount: MountRecord {
                    kind: MountKind::Bind {
                        source: PathBuf::from(clean(&mount.source)),
                        non_recursive: options.non_recursive,
                        read_only_recursive: !options.read_only_non_recursive,
                    },
                    destination,
                    writable: !mount.read_only,
                    mode: String::new(),
                    propagation: default.to_owned(),
                },
                labels: None,
                copy: false,
                create_source: options.create_mountpoint,
            })
        }
        "volume" => {
            let options = mount.volume_options.clone().unwrap_or_default();
            if options.subpath.starts_with('/') || options.subpath.split('/').any(|p| p == "..") {
                return Err(invalid("subpath must be a relative path within the volume"));
            }
            let mut wanted = volume(&mount.source, &destination, !mount.read_only, "z");
            if let MountKind::Volume { subpath, .. } = &mut wanted.mount.kind {
                *subpath = options.subpath;
            }
            wanted.labels = options.labels;
            wanted.copy = !options.no_copy;
            Ok(wanted)
        }
        "tmpfs" => {
            let options = mount.tmpfs_options.clone().unwrap_or_default();
            let mut wanted = tmpfs(&destination, "");
            wanted.mount.writable = !mount.read_only;
            if let MountKind::Tmpfs { options: list } = &mut wanted.mount.kind {
                if options.size_bytes > 0 {
                    list.push(format!("size={}", options.size_bytes));
                }
                if options.mode != 0 {
                    list.push(format!("mode={:o}", options.mode));
                }
                list.extend(options.options.iter().flatten().map(|pair| pair.join("=")));
            }
            Ok(wanted)
        }
        "image" | "npipe" | "cluster" => Err(Error::Unimplemented("this type of mount")),
        other => Err(Error::Invalid(format!(
            "invalid mount config for type \"{other}\": mount type unknown"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind_of(text: &str) -> MountRecord {
        parse_bind(text).unwrap().mount
    }

    #[test]
    fn binds_volumes_and_modes_are_told_apart() {
        let bind = bind_of("/a/../b:/c:ro");
        assert!(
            matches!(bind.kind, MountKind::Bind { ref source, .. } if source == Path::new("/b"))
        );
        assert!(!bind.writable);
        let named = bind_of("data:/c");
        assert!(
            matches!(named.kind, MountKind::Volume { ref name, anonymous: false, .. } if name == "data")
        );
        let anonymous = bind_of("/only");
        assert!(matches!(anonymous.kind, MountKind::Volume { anonymous: true, .. }));
        assert!(!parse_bind("data:/c:nocopy").unwrap().copy);
        for bad in ["", "a:b", "/a:/b:huh", "a:/b:ro:x", ":/b"] {
            assert!(parse_bind(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_place_takes_one_mount() {
        let host = HostConfig {
            binds: Some(vec!["/a:/x".into(), "/b:/x/".into()]),
            ..HostConfig::default()
        };
        let error = mounts(&Config::default(), &host).unwrap_err();
        assert_eq!(error.to_string(), "Duplicate mount point: /x");
    }

    #[test]
    fn wrong_requests_fail_in_dockers_words() {
        let fail = |host: HostConfig| check(&Config::default(), &host).unwrap_err().to_string();
        assert_eq!(
            fail(HostConfig { memory: 1 << 20, ..HostConfig::default() }),
            "Minimum memory limit allowed is 6MB"
        );
        let mut host = HostConfig { auto_remove: true, ..HostConfig::default() };
        host.restart_policy.name = "always".into();
        assert_eq!(fail(host), "can't create 'AutoRemove' container with restart policy");
        let mut host = HostConfig::default();
        host.restart_policy.name = "sometimes".into();
        assert!(fail(host).contains("unknown policy 'sometimes'; use one of 'no', 'always'"));
    }

    #[test]
    fn an_address_that_cannot_be_read_is_refused_and_not_taken_for_any() {
        use contracts_engine_api::container::PortBinding;
        let fail = |host: HostConfig| check(&Config::default(), &host).unwrap_err().to_string();
        let bound = |host_ip: &str| {
            let binding = PortBinding { host_ip: host_ip.into(), host_port: "80".into() };
            let bindings = [("80/tcp".to_owned(), Some(vec![binding]))];
            HostConfig { port_bindings: Some(bindings.into()), ..HostConfig::default() }
        };
        for text in ["localhost", "[::1]", "1.2.3.999"] {
            assert!(fail(bound(text)).contains("unable to parse IP"), "{text}");
        }
        check(&Config::default(), &bound("127.0.0.1")).unwrap();
        let named = |extra: &str| HostConfig {
            extra_hosts: Some(vec![extra.into()]),
            ..HostConfig::default()
        };
        assert_eq!(fail(named("a")), "bad format for add-host: \"a\"");
        assert_eq!(fail(named("a:b")), "invalid IP address in add-host: \"b\"");
        for extra in ["a:1.2.3.4", "a=[::1]", "a:host-gateway"] {
            check(&Config::default(), &named(extra)).unwrap();
        }
        let mac = EndpointSettings { mac_address: "02:42".into(), ..EndpointSettings::default() };
        assert!(check_endpoint(&mac).is_err());
        check_endpoint(&EndpointSettings::default()).unwrap();
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let mut host = HostConfig { network_mode: "container:x".into(), ..HostConfig::default() };
        check_modes(&Config::default(), &host).unwrap();
        let named = Config { hostname: "h".into(), ..Config::default() };
        assert_eq!(
            check_modes(&named, &host).unwrap_err().to_string(),
            "conflicting options: hostname and the network mode"
        );
        host.publish_all_ports = true;
        let error = check_modes(&Config::default(), &host).unwrap_err().to_string();
        assert!(error.ends_with("port publishing and the container type network mode"), "{error}");
    }

    #[test]
    fn ports_ranges_and_sizes_are_read() {
        assert_eq!(parse_port("80"), Some((80, Protocol::Tcp)));
        assert_eq!(parse_port("53/UDP"), Some((53, Protocol::Udp)));
        assert_eq!(parse_port("0/tcp"), None);
        assert_eq!(parse_port_range("8000-8010"), Some(8000..=8010));
        assert_eq!(parse_port_range("9-8"), None);
        assert_eq!(parse_size("10m"), Some(10 << 20));
        assert_eq!(parse_size("1.5k"), Some(1536));
        assert_eq!(parse_size("x"), None);
    }
}
