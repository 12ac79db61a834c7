//! `history`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::{Format, Row};
use crate::session::Session;
use crate::{instant, output, quantity, show};
use contracts_engine_api::image::HistoryItem;

static FLAGS: &[Flag] = &[
    Flag::new("format", Kind::Text, show::LIST_FORMAT_HELP),
    Flag::new("human", Kind::Switch, "Print sizes and dates in human readable format")
        .short('H')
        .default("true"),
    Flag::new("no-trunc", Kind::Switch, "Don't truncate output").default("false"),
    Flag::new("platform", Kind::Text, "Show the variant for a platform, \"os[/arch[/variant]]\""),
    Flag::new("quiet", Kind::Switch, "Only show image IDs").short('q').default("false"),
];

/// `history`.
pub(crate) static COMMAND: Command =
    Command::new("history", "[OPTIONS] IMAGE", "Show the history of an image", run)
        .flags(&[FLAGS])
        .operands(Operands::Exactly(1))
        .names(Names::Images)
        .known_as(&["image history", "history"]);

const HUMAN: &str = "{{.ID}}\\t{{.CreatedSince}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";
const EXACT: &str = "{{.ID}}\\t{{.CreatedAt}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let human = arguments.on("human");
    let whole = arguments.on("no-trunc");
    let format = Format::parse(arguments.text("format"), if human { HUMAN } else { EXACT })?;
    let platform = arguments.text_if_given("platform").map(super::rm::platform_json);
    let layers: Vec<HistoryItem> = session
        .client
        .get(format!("/images/{}/history", arguments.operand()))
        .query_if("platform", platform)
        .fetch()?;
    if arguments.on("quiet") && !arguments.given("format") {
        return layers.iter().try_for_each(|layer| output::line(show::id(&layer.id, whole)));
    }
    let rows: Vec<Row> = layers.iter().map(|layer| row(layer, whole, human)).collect();
    format.print(HEADINGS, &rows)
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn row(layer: &HistoryItem, whole: bool, human: bool) -> Row {
    /// The width at which Docker cuts.
    const WIDTH: usize = 45;
    let command = layer.created_by.replace('\t', " ");
    let command = if whole { command } else { show::ellipsis(&command, WIDTH) };
    // A layer of unknown age has no date in Docker's lists either.
    let created = layer.created;
    let since = if created <= 0 { "N/A".to_owned() } else { instant::ago(created) };
    let size = if human { quantity::short_size(layer.size as f64) } else { layer.size.to_string() };
    Row::new(vec![
        ("Comment", layer.comment.clone().into()),
        ("CreatedAt", instant::short_text(created).into()),
        ("CreatedBy", command.into()),
        ("CreatedSince", since.into()),
        ("ID", show::id(&layer.id, whole).into()),
        ("Size", size.into()),
    ])
}
