//! `--publish` and `--expose`.

use contracts_engine_api::container::{Member, PortBinding, PortMap};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// More ports than one flag can sensibly mean.
const MAX_PORT: u32 = 65_535;

/// Ports that are exposed, and those that are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) exposed: BTreeMap<String, Member>,
    pub(super) bindings: PortMap,
}

/// Reads all `--publish` and `--expose` flags.
pub(super) fn parse<'a>(
    publish: impl Iterator<Item = &'a str>,
    expose: impl Iterator<Item = &'a str>,
) -> Result<Ports, String> {
    let mut ports = Ports::default();
    for text in publish {
        if text.contains('=') {
            ports.publish_long(text)?;
        } else {
            ports.publish(text)?;
        }
    }
    for text in expose {
        ports.expose(text)?;
    }
    Ok(ports)
}

/// A range of ports, both ends within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    last: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let number = |part: &str| -> Option<u32> {
            part.parse().ok().filter(|&n| n <= MAX_PORT && part.bytes().all(|b| b.is_ascii_digit()))
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        (first <= last).then_some(Self { first, last })
    }

    fn count(self) -> u32 {
        self.last - self.first + 1
    }
}

fn protocol(text: &str) -> Result<(&str, String), String> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let lower = protocol.to_ascii_lowercase();
    if matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
        Ok((port, lower))
    } else {
        Err(format!("invalid proto: {protocol}"))
    }
}

impl Ports {
    /// `[ip:][host port]:container port[/protocol]`.
    fn publish(&mut self, text: &str) -> Result<(), String> {
        let (address, host, container) = split(text);
        let (container, protocol) = protocol(container)?;
        if container.is_empty() {
            return Err(format!("no port specified: {text}<empty>"));
        }
        let address = host_address(address)?;
        let inner =
            Range::parse(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
        let outer = match host {
            "" => None,
            host => Some(Range::parse(host).ok_or_else(|| format!("invalid hostPort: {host}"))?),
        };
        if let Some(outer) = outer
            && outer.count() != inner.count()
            && inner.count() != 1
        {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            ));
        }
        for port in inner.first..=inner.last {
            let host_port = match outer {
                None => String::new(),
                // Several to choose from, for one port.
                Some(outer) if inner.count() == 1 && outer.count() > 1 => host.to_owned(),
                Some(outer) => (outer.first + (port - inner.first)).to_string(),
            };
            self.bind(&format!("{port}/{protocol}"), &address, host_port);
        }
        Ok(())
    }

    /// `target=80,published=8080,protocol=tcp`.
    fn publish_long(&mut self, text: &str) -> Result<(), String> {
        let (mut target, mut published, mut protocol) = (None, String::new(), "tcp".to_owned());
        for field in text.split(',') {
            let (key, value) =
                field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
            match key {
                "target" => {
                    let port = value.parse::<u16>();
                    target = Some(port.map_err(|_| {
                        format!("invalid target port ({value}): value must be an integer")
                    })?);
                }
                "published" => {
                    Range::parse(value).ok_or_else(|| {
                        format!("invalid published port ({value}): value must be an integer")
                    })?;
                    value.clone_into(&mut published);
                }
                "protocol" => {
                    if !matches!(value, "tcp" | "udp" | "sctp") {
                        return Err(format!("invalid protocol value '{value}'"));
                    }
                    value.clone_into(&mut protocol);
                }
                "mode" if matches!(value, "host" | "ingress") => {}
                "mode" => return Err(format!("invalid publish mode value ({value})")),
                _ => return Err(format!("invalid field key {key}")),
            }
        }
        let target = target.ok_or("missing mandatory field 'target'")?;
        self.bind(&format!("{target}/{protocol}"), "", published);
        Ok(())
    }

    fn bind(&mut self, port: &str, address: &str, host_port: String) {
        self.exposed.insert(port.to_owned(), Member {});
        let bindings = self.bindings.entry(port.to_owned()).or_default();
        let binding = PortBinding { host_ip: address.to_owned(), host_port };
        bindings.get_or_insert_default().push(binding);
    }

    fn expose(&mut self, text: &str) -> Result<(), String> {
        if text.contains(':') {
            return Err(format!("invalid port format for --expose: {text}"));
        }
        let (port, protocol) = protocol(text)?;
        let range = Range::parse(port).ok_or_else(|| {
            format!("invalid range format for --expose: {text}, error: invalid port '{port}'")
        })?;
        for port in range.first..=range.last {
            self.exposed.insert(format!("{port}/{protocol}"), Member {});
        }
        Ok(())
    }
}

/// Address, host port, container port. An IPv6 address has brackets, or more colons.
fn split(text: &str) -> (&str, &str, &str) {
    let Some((rest, container)) = text.rsplit_once(':') else { return ("", "", text) };
    match rest.rsplit_once(':') {
        Some((address, host)) => (address, host, container),
        None => ("", rest, container),
    }
}

fn host_address(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        Ok(bare.to_owned())
    } else {
        Err(format!("invalid IP address: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &str) -> String {
        match parse([text].into_iter(), std::iter::empty()) {
            Err(error) => error,
            Ok(ports) => ports
                .bindings
                .iter()
                .flat_map(|(port, bindings)| {
                    bindings
                        .iter()
                        .flatten()
                        .map(move |b| format!("{}|{}>{port}", b.host_ip, b.host_port))
                })
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    #[test]
    fn ports_are_published_in_every_form() {
        for (text, wanted) in [
            ("80", "|>80/tcp"),
            ("8080:80", "|8080>80/tcp"),
            ("127.0.0.1:8080:80/udp", "127.0.0.1|8080>80/udp"),
            ("127.0.0.1::80", "127.0.0.1|>80/tcp"),
            ("[::1]:1:2", "::1|1>2/tcp"),
            ("1-2:3-4", "|1>3/tcp |2>4/tcp"),
            ("8000-8010:80", "|8000-8010>80/tcp"),
            ("target=80,published=8080", "|8080>80/tcp"),
        ] {
            assert_eq!(published(text), wanted, "{text}");
        }
    }

    #[test]
    fn wrong_ports_are_told_in_dockers_words() {
        for (text, wanted) in [
            ("99999:1", "invalid hostPort: 99999"),
            ("1:99999", "invalid containerPort: 99999"),
            ("80/foo", "invalid proto: foo"),
            ("x:1:2", "invalid IP address: x"),
            ("1-3:4-5", "invalid ranges specified for container and host Ports: 4-5 and 1-3"),
        ] {
            assert_eq!(published(text), wanted, "{text}");
        }
    }
}
