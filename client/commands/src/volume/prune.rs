//! `volume prune`.

use crate::arguments::Arguments;
use crate::command::Command;
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{confirm, filters, output, quantity};
use contracts_engine_api::volume::PruneReport;

static FLAGS: &[Flag] = &[
    Flag::new("all", Kind::Switch, "Remove all unused volumes, not just anonymous ones")
        .short('a')
        .default("false"),
    Flag::new("filter", Kind::Filter, "Only those that match (e.g. \"label=<label>\")"),
    Flag::new("force", Kind::Switch, "Do not ask for confirmation").short('f').default("false"),
];

/// `volume prune`.
pub(super) static COMMAND: Command =
    Command::new("prune", "[OPTIONS]", "Remove unused local volumes", run).flags(&[FLAGS]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let all = arguments.on("all");
    let which = if all { "local" } else { "anonymous local" };
    let warning =
        format!("WARNING! This will remove {which} volumes not used by at least one container.");
    if !arguments.on("force") && !confirm::ask(&warning)? {
        return Err(Failure::text("volume prune has been cancelled"));
    }
    let mut filters = filters::read(arguments);
    if all {
        filters.add("all", "true");
    }
    let report: PruneReport = session
        .client
        .post("/volumes/prune")
        .query_if("filters", (!filters.is_empty()).then(|| filters.to_json()))
        .fetch()?;
    let deleted = report.volumes_deleted.unwrap_or_default();
    if !deleted.is_empty() {
        output::line(format!("Deleted Volumes:\n{}\n", deleted.join("\n")))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let size = quantity::human_size(report.space_reclaimed as f64);
    output::line(format!("Total reclaimed space: {size}"))
}
