//! `network ls`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::{Format, Row};
use crate::session::Session;
use crate::{filters, output, show};
use contracts_engine_api::network::Network;

static FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Only those that match (e.g. \"driver=bridge\")").short('f'),
    Flag::new("format", Kind::Text, show::LIST_FORMAT_HELP),
    Flag::new("no-trunc", Kind::Switch, "Do not truncate the output").default("false"),
    Flag::new("quiet", Kind::Switch, "Only display network IDs").short('q').default("false"),
];

/// `network ls`.
pub(super) static COMMAND: Command = Command::new("ls", "[OPTIONS]", "List networks", run)
    .flags(&[FLAGS])
    .operands(Operands::None)
    .aliases(&["list"])
    .known_as(&["network ls", "network list"]);

const TABLE: &str = "{{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}";

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let quiet = arguments.on("quiet");
    let whole = arguments.on("no-trunc");
    let configured = &session.config.networks_format;
    let format =
        Format::parse(show::format_text(arguments.text("format"), configured, quiet), TABLE)?;
    let mut networks: Vec<Network> = session
        .client
        .get("/networks")
        .query_if("filters", filters::parameter(arguments))
        .fetch()?;
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    if quiet && !arguments.given("format") {
        return networks.iter().try_for_each(|network| output::line(show::id(&network.id, whole)));
    }
    let rows: Vec<Row> = networks.iter().map(|network| row(network, whole)).collect();
    format.print(HEADINGS, &rows)
}

fn row(network: &Network, whole: bool) -> Row {
    let labels = network.labels.clone().unwrap_or_default();
    let joined: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    // As Go prints a time of which the daemon's text is a form.
    let created = network.created.replacen('T', " ", 1);
    let created = match created.strip_suffix('Z') {
        Some(time) => format!("{time} +0000 UTC"),
        None => created,
    };
    Row {
        fields: vec![
            ("CreatedAt", created.into()),
            ("Driver", network.driver.clone().into()),
            ("ID", show::id(&network.id, whole).into()),
            ("IPv4", network.enable_ipv4.to_string().into()),
            ("IPv6", network.enable_ipv6.to_string().into()),
            ("Internal", network.internal.to_string().into()),
            ("Labels", joined.join(",").into()),
            ("Name", network.name.clone().into()),
            ("Scope", network.scope.clone().into()),
        ],
        labels,
    }
}
