//! `container prune`.

use crate::arguments::Arguments;
use crate::command::Command;
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{confirm, filters, output, quantity};
use contracts_engine_api::container::PruneReport;

static FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Only those that match (e.g. \"until=<timestamp>\")"),
    Flag::new("force", Kind::Switch, "Do not ask for confirmation").short('f').default("false"),
];

/// `container prune`.
pub(crate) static COMMAND: Command =
    Command::new("prune", "[OPTIONS]", "Remove all stopped containers", run).flags(&[FLAGS]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let warning = "WARNING! This will remove all stopped containers.";
    if !arguments.on("force") && !confirm::ask(warning)? {
        return Err(Failure::text("container prune has been cancelled"));
    }
    let report: PruneReport = session
        .client
        .post("/containers/prune")
        .query_if("filters", filters::parameter(arguments))
        .fetch()?;
    let deleted = report.containers_deleted.unwrap_or_default();
    if !deleted.is_empty() {
        output::line(format!("Deleted Containers:\n{}\n", deleted.join("\n")))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let size = quantity::human_size(report.space_reclaimed as f64);
    output::line(format!("Total reclaimed space: {size}"))
}
