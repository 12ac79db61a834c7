//! `stats`: once, or a screen that refreshes itself.

mod figures;
mod watch;

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::{Failure, told};
use crate::flag::{Flag, Kind};
use crate::listing::{Format, Row};
use crate::output;
use crate::session::Session;
use crate::show;
use contracts_engine_api::container::{StatsResponse, Summary};
use figures::Figures;
use watch::{Follow, Watch};

static FLAGS: &[Flag] = &[
    Flag::new("all", Kind::Switch, "Show all containers (default shows just running)")
        .short('a')
        .default("false"),
    Flag::new("format", Kind::Text, show::LIST_FORMAT_HELP),
    Flag::new("no-stream", Kind::Switch, "Show the first result only").default("false"),
    Flag::new("no-trunc", Kind::Switch, "Do not truncate output").default("false"),
];

/// `stats`.
pub(crate) static COMMAND: Command = Command::new(
    "stats",
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    run,
)
.flags(&[FLAGS])
.operands(Operands::Any)
.names(Names::Running)
.known_as(&["container stats", "stats"]);

const TABLE: &str = "{{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t{{.MemPerc}}\\t{{.NetIO}}\\t{{.BlockIO}}\\t{{.PIDs}}";

const HEADINGS: &[(&str, &str)] = &[
    ("BlockIO", "BLOCK I/O"),
    ("CPUPerc", "CPU %"),
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("MemPerc", "MEM %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("Name", "NAME"),
    ("NetIO", "NET I/O"),
    ("PIDs", "PIDS"),
];

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let wanted = show::format_text(arguments.text("format"), &session.config.stats_format, false);
    let format = Format::parse(wanted, TABLE)?;
    let whole = arguments.on("no-trunc");
    let names = if arguments.operands.is_empty() {
        list(session, arguments.on("all"))?
    } else {
        arguments.operands.clone()
    };
    if arguments.on("no-stream") {
        return once(session, &format, &names, whole);
    }
    let follow = match (arguments.operands.is_empty(), arguments.on("all")) {
        (false, _) => Follow::Named,
        (true, false) => Follow::Running,
        (true, true) => Follow::All,
    };
    Watch::begin(session, &names, follow).show(|rows| {
        let rows: Vec<Row> =
            rows.iter().map(|(name, figures)| row(name, figures.as_ref(), whole)).collect();
        format.render(HEADINGS, &rows)
    })
}

fn list(session: &Session, all: bool) -> Result<Vec<String>, Failure> {
    let containers: Vec<Summary> =
        session.client.get("/containers/json").flag("all", all).fetch()?;
    Ok(containers.iter().map(|container| show::id(&container.id, false).to_owned()).collect())
}

/// One sample of each, all at once: the daemon takes a second for each.
fn once(session: &Session, format: &Format, names: &[String], whole: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let fetch = |name: &str| {
            let request = session.client.get(format!("/containers/{name}/stats"));
            request.query("stream", "0").fetch::<StatsResponse>()
        };
        let running: Vec<_> =
            names.iter().map(|name| (name, scope.spawn(move || fetch(name)))).collect();
        for (name, thread) in running {
            match thread.join().expect("requests do not panic") {
                Ok(stats) => rows.push(row(name, Some(&Figures::of(&stats)), whole)),
                Err(error) => failures.push(told(&error)),
            }
        }
    });
    if !failures.is_empty() && rows.is_empty() {
        return Err(Failure::text(failures.join("\n")));
    }
    format.print(HEADINGS, &rows)?;
    failures.iter().for_each(output::note);
    if failures.is_empty() { Ok(()) } else { Err(Failure::Code(1)) }
}

fn row(name: &str, figures: Option<&Figures>, whole: bool) -> Row {
    let text = |read: fn(&Figures) -> String| -> serde_json::Value {
        figures.map_or_else(|| "--".to_owned(), read).into()
    };
    let id = figures.map_or("--", |figures| show::id(&figures.id, whole));
    Row::new(vec![
        ("BlockIO", text(Figures::block_io)),
        ("CPUPerc", text(Figures::cpu)),
        ("Container", name.into()),
        ("ID", id.into()),
        ("MemPerc", text(Figures::memory_share)),
        ("MemUsage", text(Figures::memory)),
        ("Name", text(|figures| figures.name.clone())),
        ("NetIO", text(Figures::network_io)),
        ("PIDs", text(|figures| figures.pids.to_string())),
    ])
}
