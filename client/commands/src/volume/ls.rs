//! `volume ls`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::{Format, Row};
use crate::session::Session;
use crate::{filters, output, quantity, show};
use contracts_engine_api::volume::{ListResponse, Volume};

static FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Only those that match (e.g. \"dangling=true\")").short('f'),
    Flag::new("format", Kind::Text, show::LIST_FORMAT_HELP),
    Flag::new("quiet", Kind::Switch, "Only display volume names").short('q').default("false"),
];

/// `volume ls`.
pub(super) static COMMAND: Command = Command::new("ls", "[OPTIONS]", "List volumes", run)
    .flags(&[FLAGS])
    .operands(Operands::None)
    .aliases(&["list"])
    .known_as(&["volume ls", "volume list"]);

const TABLE: &str = "{{.Driver}}\\t{{.Name}}";

const HEADINGS: &[(&str, &str)] = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let quiet = arguments.on("quiet");
    let configured = &session.config.volumes_format;
    let format =
        Format::parse(show::format_text(arguments.text("format"), configured, quiet), TABLE)?;
    let answer: ListResponse = session
        .client
        .get("/volumes")
        .query_if("filters", filters::parameter(arguments))
        .fetch()?;
    let mut volumes = answer.volumes.unwrap_or_default();
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    if quiet && !arguments.given("format") {
        return volumes.iter().try_for_each(|volume| output::line(&volume.name));
    }
    let rows: Vec<Row> = volumes.iter().map(row).collect();
    format.print(HEADINGS, &rows)
}

pub(crate) fn row(volume: &Volume) -> Row {
    let labels = volume.labels.clone().unwrap_or_default();
    let joined: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let usage = volume.usage_data.as_ref();
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let size = usage.map_or("N/A".to_owned(), |usage| quantity::human_size(usage.size as f64));
    let links = usage.map_or("N/A".to_owned(), |usage| usage.ref_count.to_string());
    Row {
        fields: vec![
            ("Availability", "N/A".into()),
            ("Driver", volume.driver.clone().into()),
            ("Group", "N/A".into()),
            ("Labels", joined.join(",").into()),
            ("Links", links.into()),
            ("Mountpoint", volume.mountpoint.clone().into()),
            ("Name", volume.name.clone().into()),
            ("Scope", volume.scope.clone().into()),
            ("Size", size.into()),
            ("Status", "N/A".into()),
        ],
        labels,
    }
}
