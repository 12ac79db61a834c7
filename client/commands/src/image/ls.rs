//! `images`, `image ls`.

use crate::arguments::Arguments;
use crate::command::{Command, Group, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::{Format, Row};
use crate::session::Session;
use crate::{filters, instant, quantity, show};
use base_ids::reference::Reference;
use contracts_engine_api::image::Summary;

static FLAGS: &[Flag] = &[
    Flag::new("all", Kind::Switch, "Show all images (default hides intermediate images)")
        .short('a')
        .default("false"),
    Flag::new("digests", Kind::Switch, "Show digests").default("false"),
    Flag::new("filter", Kind::Filter, "Only those that match").short('f'),
    Flag::new("format", Kind::Text, show::LIST_FORMAT_HELP),
    Flag::new("no-trunc", Kind::Switch, "Don't truncate output").default("false"),
    Flag::new("quiet", Kind::Switch, "Only show image IDs").short('q').default("false"),
];

const NAMES: &[&str] = &["image ls", "image list", "images"];

/// `images`.
pub(crate) static COMMAND: Command =
    Command::new("images", "[OPTIONS] [REPOSITORY[:TAG]]", "List images", run)
        .flags(&[FLAGS])
        .operands(Operands::AtMost(1))
        .names(Names::Images)
        .known_as(NAMES)
        .group(Group::Common);

/// `image ls`.
pub(super) static IN_IMAGE: Command =
    Command::new("ls", "[OPTIONS] [REPOSITORY[:TAG]]", "List images", run)
        .flags(&[FLAGS])
        .operands(Operands::AtMost(1))
        .names(Names::Images)
        .aliases(&["list"])
        .known_as(NAMES);

const TABLE: &str = "{{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";
const DIGEST_TABLE: &str =
    "{{.Repository}}\\t{{.Tag}}\\t{{.Digest}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const NONE: &str = "<none>";

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let quiet = arguments.on("quiet");
    let whole = arguments.on("no-trunc");
    let digests = arguments.on("digests");
    let wanted = show::format_text(arguments.text("format"), &session.config.images_format, quiet);
    let format = Format::parse(wanted, if digests { DIGEST_TABLE } else { TABLE })?;
    let mut filters = filters::read(arguments);
    if let Some(pattern) = arguments.operands.first() {
        filters.add("reference", pattern.clone());
    }
    let images: Vec<Summary> = session
        .client
        .get("/images/json")
        .flag("all", arguments.on("all"))
        .query_if("filters", (!filters.is_empty()).then(|| filters.to_json()))
        .fetch()?;
    let digests = digests || format.names("Digest");
    let rows: Vec<Row> = images.iter().flat_map(|image| rows(image, whole, digests)).collect();
    if quiet && !arguments.given("format") {
        let ids = Format::parse("{{.ID}}", "")?;
        return ids.print(HEADINGS, &rows);
    }
    format.print(HEADINGS, &rows)
}

/// One row for each name; by name and tag, or by name and digest.
fn rows(image: &Summary, whole: bool, digests: bool) -> Vec<Row> {
    let tags: Vec<(String, String)> = image
        .repo_tags
        .iter()
        .filter(|name| *name != "<none>:<none>")
        .filter_map(|name| Reference::parse_bare(name).ok())
        .map(|name| (name.familiar_name(), name.tag().unwrap_or(NONE).to_owned()))
        .collect();
    let named: Vec<(String, String)> = image
        .repo_digests
        .iter()
        .filter_map(|name| name.split_once('@'))
        .filter(|(name, _)| *name != NONE)
        .map(|(name, digest)| {
            let name =
                Reference::parse_bare(name).map_or(name.to_owned(), |name| name.familiar_name());
            (name, digest.to_owned())
        })
        .collect();
    let digest_of = |name: &str| {
        let found = named.iter().find(|(known, _)| known == name);
        found.map_or(NONE, |(_, digest)| digest.as_str()).to_owned()
    };
    if !tags.is_empty() {
        return tags
            .iter()
            .map(|(name, tag)| {
                let digest = if digests { digest_of(name) } else { NONE.to_owned() };
                row(image, whole, name, tag, &digest)
            })
            .collect();
    }
    match named.first() {
        Some((name, digest)) => {
            vec![row(image, whole, name, NONE, if digests { digest } else { NONE })]
        }
        None => vec![row(image, whole, NONE, NONE, NONE)],
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn row(image: &Summary, whole: bool, name: &str, tag: &str, digest: &str) -> Row {
    let size = |bytes: i64| {
        if bytes < 0 { "N/A".to_owned() } else { quantity::short_size(bytes as f64) }
    };
    let count = |number: i64| if number < 0 { "N/A".to_owned() } else { number.to_string() };
    let unique =
        if image.size < 0 || image.shared_size < 0 { -1 } else { image.size - image.shared_size };
    Row::new(vec![
        ("Containers", count(image.containers).into()),
        ("CreatedAt", instant::go_text(image.created).into()),
        ("CreatedSince", instant::ago(image.created).into()),
        ("Digest", digest.into()),
        ("ID", show::id(&image.id, whole).into()),
        ("Repository", name.into()),
        ("SharedSize", size(image.shared_size).into()),
        ("Size", size(image.size).into()),
        ("Tag", tag.into()),
        ("UniqueSize", size(unique).into()),
        ("VirtualSize", quantity::human_size(image.size.max(0) as f64).into()),
    ])
}
