//! `network prune`.

use crate::arguments::Arguments;
use crate::command::Command;
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{confirm, filters, output};
use contracts_engine_api::network::PruneReport;

static FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Only those that match (e.g. \"until=<timestamp>\")"),
    Flag::new("force", Kind::Switch, "Do not ask for confirmation").short('f').default("false"),
];

/// `network prune`.
pub(super) static COMMAND: Command =
    Command::new("prune", "[OPTIONS]", "Remove all unused networks", run).flags(&[FLAGS]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.";
    if !arguments.on("force") && !confirm::ask(warning)? {
        return Err(Failure::text("network prune has been cancelled"));
    }
    let report: PruneReport = session
        .client
        .post("/networks/prune")
        .query_if("filters", filters::parameter(arguments))
        .fetch()?;
    let deleted = report.networks_deleted.unwrap_or_default();
    if !deleted.is_empty() {
        output::line(format!("Deleted Networks:\n{}\n", deleted.join("\n")))?;
    }
    Ok(())
}
