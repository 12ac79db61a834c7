//! `context ls`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::contexts::{self, Meta};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::{Format, Row};
use crate::session::Session;
use crate::{output, show};

static FLAGS: &[Flag] = &[
    Flag::new("format", Kind::Text, show::LIST_FORMAT_HELP),
    Flag::new("quiet", Kind::Switch, "Only show context names").short('q').default("false"),
];

/// `context ls`.
pub(super) static COMMAND: Command = Command::new("ls", "[OPTIONS]", "List contexts", run)
    .flags(&[FLAGS])
    .operands(Operands::None)
    .aliases(&["list"])
    .known_as(&["context ls", "context list"])
    .without_daemon();

const TABLE: &str =
    "{{.Name}}{{if .Current}} *{{end}}\\t{{.Description}}\\t{{.DockerEndpoint}}\\t{{.Error}}";

const HEADINGS: &[(&str, &str)] = &[
    ("Current", ""),
    ("Description", "DESCRIPTION"),
    ("DockerEndpoint", "DOCKER ENDPOINT"),
    ("Error", "ERROR"),
    ("Name", "NAME"),
];

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let format = Format::parse(arguments.text("format"), TABLE)?;
    let contexts = session.contexts();
    let mut names = contexts.names();
    names.push(contexts::DEFAULT.to_owned());
    if !names.contains(&session.context) {
        // Named by a flag, the environment or the configuration, and not there.
        names.push(session.context.clone());
    }
    names.sort();
    if arguments.on("quiet") {
        names.iter().try_for_each(output::line)?;
    } else {
        let rows: Vec<Row> = names.iter().map(|name| row(session, name)).collect();
        format.print(HEADINGS, &rows)?;
    }
    if session.names_host() {
        output::note(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a \
             context, either set the global --context flag, or unset DOCKER_HOST environment variable.",
        );
    }
    Ok(())
}

fn row(session: &Session, name: &str) -> Row {
    /// The width at which Docker cuts.
    const WIDTH: usize = 45;
    let meta = if name == contexts::DEFAULT {
        let mut meta = Meta::new(name);
        meta.set_description(contexts::DEFAULT_DESCRIPTION);
        meta.set_host(&session.default_host, false);
        Ok(meta)
    } else {
        session.contexts().read(name)
    };
    let error = meta.as_ref().err().map_or(String::new(), |error| show::ellipsis(error, WIDTH));
    let text = |read: fn(&Meta) -> &str| meta.as_ref().map_or("", read).to_owned();
    Row::new(vec![
        ("Current", (name == session.context).into()),
        ("Description", text(Meta::description).into()),
        ("DockerEndpoint", text(Meta::host).into()),
        ("Error", error.into()),
        ("Name", name.into()),
    ])
}
