//! `pull`.

use crate::arguments::Arguments;
use crate::command::{Command, Group, Names, Operands};
use crate::credentials;
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::output::{self, Out};
use crate::progress;
use crate::session::Session;
use base_ids::reference::Reference;
use contracts_engine_api::auth::REGISTRY_AUTH_HEADER;

static FLAGS: &[Flag] = &[
    Flag::new("all-tags", Kind::Switch, "Download all tagged images in the repository")
        .short('a')
        .default("false"),
    Flag::new("disable-content-trust", Kind::Switch, "Skip image verification")
        .default("true")
        .hidden(),
    Flag::new("platform", Kind::Text, "Set platform if server is multi-platform capable"),
    Flag::new("quiet", Kind::Switch, "Suppress verbose output").short('q').default("false"),
];

/// `pull`.
pub(crate) static COMMAND: Command =
    Command::new("pull", "[OPTIONS] NAME[:TAG|@DIGEST]", "Download an image from a registry", run)
        .flags(&[FLAGS])
        .operands(Operands::Exactly(1))
        .names(Names::Images)
        .known_as(&["image pull", "pull"])
        .group(Group::Common);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let mut reference = Reference::parse_bare(arguments.operand())
        .map_err(|error| Failure::text(error.to_string()))?;
    let quiet = arguments.on("quiet");
    if arguments.on("all-tags") {
        if !reference.is_name_only() {
            return Err(Failure::text("tag can't be used with --all-tags/-a"));
        }
    } else if reference.is_name_only() {
        reference = reference.with_default_tag();
        if !quiet {
            output::line(format!("Using default tag: {}", reference.tag().unwrap_or_default()))?;
        }
    }
    let to = (!quiet).then_some(Out::Stdout);
    fetch(session, &reference, arguments.text("platform"), to)?;
    output::line(reference.to_string())
}

/// Has the daemon pull an image, with progress shown on `to`. Without tag and digest: all tags.
pub(crate) fn fetch(
    session: &Session,
    reference: &Reference,
    platform: &str,
    to: Option<Out>,
) -> Result<(), Failure> {
    let mut request = session
        .client
        .post("/images/create")
        .query("fromImage", reference.name())
        .query("tag", reference.digest().or(reference.tag()).unwrap_or_default())
        .query_if("platform", (!platform.is_empty()).then_some(platform));
    if let Some(header) = credentials::header(session, reference.domain()) {
        request = request.header(REGISTRY_AUTH_HEADER, header);
    }
    progress::show(request.send()?.into_body(), to)
}
