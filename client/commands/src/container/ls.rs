//! `ps`, `container ls`.

use crate::arguments::Arguments;
use crate::command::{Command, Group, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::{Format, Row};
use crate::session::Session;
use crate::{filters, instant, output, quantity, show};
use base_ids::reference::Reference;
use contracts_engine_api::container::{PortSummary, Summary};

static FLAGS: &[Flag] = &[
    Flag::new("all", Kind::Switch, "Show all containers (default shows just running)")
        .short('a')
        .default("false"),
    Flag::new("filter", Kind::Filter, "Only those that match").short('f'),
    Flag::new("format", Kind::Text, show::LIST_FORMAT_HELP),
    Flag::new("last", Kind::Int, "Show n last created containers (includes all states)")
        .short('n')
        .default("-1"),
    Flag::new("latest", Kind::Switch, "Show the latest created container (includes all states)")
        .short('l')
        .default("false"),
    Flag::new("no-trunc", Kind::Switch, "Don't truncate output").default("false"),
    Flag::new("quiet", Kind::Switch, "Only display container IDs").short('q').default("false"),
    Flag::new("size", Kind::Switch, "Display total file sizes").short('s').default("false"),
];

const NAMES: &[&str] = &["container ls", "container list", "container ps", "ps"];

/// `ps`.
pub(crate) static COMMAND: Command = Command::new("ps", "[OPTIONS]", "List containers", run)
    .flags(&[FLAGS])
    .operands(Operands::None)
    .known_as(NAMES)
    .group(Group::Common);

/// `container ls`.
pub(super) static IN_CONTAINER: Command = Command::new("ls", "[OPTIONS]", "List containers", run)
    .flags(&[FLAGS])
    .operands(Operands::None)
    .aliases(&["list", "ps"])
    .known_as(NAMES);

const TABLE: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let quiet = arguments.on("quiet");
    let whole = arguments.on("no-trunc");
    let mut table = TABLE.trim_start_matches("table ").to_owned();
    if arguments.on("size") {
        table.push_str("\\t{{.Size}}");
    }
    let wanted = show::format_text(arguments.text("format"), &session.config.ps_format, quiet);
    let format = Format::parse(wanted, &table).map_err(|failure| worded(&failure, "parse"))?;
    let size =
        arguments.on("size") || (!quiet && (format.names("Size") || wanted.contains("json .}}")));
    let last = match arguments.int("last") {
        _ if arguments.on("latest") => 1,
        number => number,
    };
    let containers: Vec<Summary> = session
        .client
        .get("/containers/json")
        .flag("all", arguments.on("all") || last > 0)
        .flag("size", size)
        .query_if("limit", (last > 0).then(|| last.to_string()))
        .query_if("filters", filters::parameter(arguments))
        .fetch()?;
    if quiet && !arguments.given("format") {
        return containers
            .iter()
            .try_for_each(|container| output::line(show::id(&container.id, whole)));
    }
    let rows: Vec<Row> = containers.iter().map(|container| row(container, whole, size)).collect();
    let text = format.render(HEADINGS, &rows).map_err(|failure| worded(&failure, "execute"))?;
    output::print(&text)
}

/// Docker's words for a template that cannot be used are others here than in other lists.
fn worded(failure: &Failure, done: &str) -> Failure {
    let text = failure.told().unwrap_or_default();
    Failure::text(text.replacen("template parsing error", &format!("failed to {done} template"), 1))
}

/// Widths at which Docker cuts.
const COMMAND_WIDTH: usize = 20;
const MOUNT_WIDTH: usize = 15;

pub(crate) fn row(container: &Summary, whole: bool, size: bool) -> Row {
    let command = if whole {
        container.command.clone()
    } else {
        show::ellipsis(&container.command, COMMAND_WIDTH)
    };
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| if mount.name.is_empty() { &mount.source } else { &mount.name })
        .map(|name| if whole { name.clone() } else { show::ellipsis(name, MOUNT_WIDTH) })
        .collect();
    let volumes = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    let networks: Vec<&str> =
        container.network_settings.networks.keys().map(String::as_str).collect();
    let labels: Vec<String> =
        container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Row {
        fields: vec![
            ("Command", format!("{command:?}").into()),
            ("CreatedAt", instant::go_text(container.created).into()),
            ("ID", show::id(&container.id, whole).into()),
            ("Image", image(container, whole).into()),
            ("Labels", labels.join(",").into()),
            ("LocalVolumes", volumes.to_string().into()),
            ("Mounts", mounts.join(",").into()),
            ("Names", names(&container.names, whole).into()),
            ("Networks", networks.join(",").into()),
            ("Platform", platform(container)),
            ("Ports", ports(&container.ports).into()),
            ("RunningFor", instant::ago(container.created).into()),
            ("Size", size_text(container, size).into()),
            ("State", container.state.clone().into()),
            ("Status", container.status.clone().into()),
        ],
        labels: container.labels.clone(),
    }
}

/// What the image runs on, where the daemon says it (API 1.48).
fn platform(container: &Summary) -> serde_json::Value {
    let descriptor = container.image_manifest_descriptor.as_ref();
    let platform = descriptor.and_then(|descriptor| descriptor.platform.as_ref());
    platform.map_or(
        serde_json::Value::Null,
        |platform| serde_json::json!({"architecture": platform.architecture, "os": platform.os}),
    )
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn size_text(container: &Summary, asked: bool) -> String {
    let own = quantity::short_size(container.size_rw as f64);
    if !asked || container.size_root_fs <= 0 {
        return own;
    }
    format!("{own} (virtual {})", quantity::short_size(container.size_root_fs as f64))
}

fn image(container: &Summary, whole: bool) -> String {
    let name = &container.image;
    if name.is_empty() {
        return "<no image>".to_owned();
    }
    if whole {
        return name.clone();
    }
    // An image whose name has gone is shown by its id, which Docker cuts.
    if show::id(&container.image_id, false) == show::id(name, false) {
        return show::id(name, false).to_owned();
    }
    // A digest is left out; a tag stays.
    match Reference::parse_bare(name) {
        Ok(reference) if name.contains('@') => match reference.tag() {
            Some(tag) => format!("{}:{tag}", reference.familiar_name()),
            None => reference.familiar_name(),
        },
        _ => name.clone(),
    }
}

/// Without slashes; names under other containers (links) only when nothing is cut.
fn names(names: &[String], whole: bool) -> String {
    let names = names.iter().map(|name| name.trim_start_matches('/'));
    names.filter(|name| whole || !name.contains('/')).collect::<Vec<_>>().join(",")
}

/// `0.0.0.0:80->80/tcp, 443/tcp`. Neighbours that are published under their own numbers, or not at
/// all, are shown as a range; the others follow, one by one.
pub(crate) fn ports(ports: &[PortSummary]) -> String {
    struct Run<'p> {
        ip: &'p str,
        protocol: &'p str,
        first: u16,
        last: u16,
    }
    let mut ports: Vec<&PortSummary> = ports.iter().collect();
    ports.sort_by_key(|port| (port.private_port, &port.ip, port.public_port, &port.protocol));
    let mut done: Vec<Run<'_>> = Vec::new();
    let mut open: Vec<Run<'_>> = Vec::new();
    let mut others = Vec::new();
    for port in ports {
        let (ip, protocol, number) = (port.ip.as_str(), port.protocol.as_str(), port.private_port);
        if !ip.is_empty() && port.public_port != number {
            others.push(format!("{}->{number}/{protocol}", address(ip, port.public_port)));
            continue;
        }
        match open.iter_mut().find(|run| run.ip == ip && run.protocol == protocol) {
            None => open.push(Run { ip, protocol, first: number, last: number }),
            Some(run) if run.last.checked_add(1) == Some(number) => run.last = number,
            Some(run) => {
                let next = Run { ip, protocol, first: number, last: number };
                done.push(std::mem::replace(run, next));
            }
        }
    }
    let runs = done.iter().chain(&open).map(|run| {
        let range = match run.last {
            last if last == run.first => last.to_string(),
            last => format!("{}-{last}", run.first),
        };
        match run.ip {
            "" => format!("{range}/{}", run.protocol),
            ip => format!("{}->{range}/{}", address(ip, &range), run.protocol),
        }
    });
    runs.chain(others).collect::<Vec<_>>().join(", ")
}

fn address(ip: &str, port: impl std::fmt::Display) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, private_port: u16, public_port: u16) -> PortSummary {
        PortSummary { ip: ip.into(), private_port, public_port, protocol: "tcp".into() }
    }

    #[test]
    fn ports_are_grouped_into_ranges() {
        assert_eq!(ports(&[port("", 80, 0)]), "80/tcp");
        assert_eq!(ports(&[port("", 80, 0), port("", 81, 0)]), "80-81/tcp");
        assert_eq!(
            ports(&[port("0.0.0.0", 80, 8080), port("::", 80, 8080)]),
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        assert_eq!(
            ports(&[port("0.0.0.0", 9, 8), port("0.0.0.0", 2, 2), port("0.0.0.0", 1, 1)]),
            "0.0.0.0:1-2->1-2/tcp, 0.0.0.0:8->9/tcp"
        );
    }

    #[test]
    fn rows_have_dockers_words() {
        let container = Summary {
            id: "a".repeat(64),
            names: vec!["/web".into(), "/other/alias".into()],
            image: "busybox".into(),
            command: "sh -c 'sleep 1000000'".into(),
            ..Summary::default()
        };
        let row = row(&container, false, false);
        let field = |name| crate::template::Fields::field(&row, name, &[]).unwrap();
        assert_eq!(field("ID"), "aaaaaaaaaaaa");
        assert_eq!(field("Names"), "web");
        assert_eq!(field("Command"), "\"sh -c 'sleep 100000…\"");
        assert_eq!(field("Size"), "0B");
    }
}
