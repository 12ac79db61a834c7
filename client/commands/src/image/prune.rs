//! `image prune`.

use crate::arguments::Arguments;
use crate::command::Command;
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{confirm, filters, output, quantity};
use contracts_engine_api::image::PruneReport;

static FLAGS: &[Flag] = &[
    Flag::new("all", Kind::Switch, "Remove all unused images, not just dangling ones")
        .short('a')
        .default("false"),
    Flag::new("filter", Kind::Filter, "Only those that match (e.g. \"until=<timestamp>\")"),
    Flag::new("force", Kind::Switch, "Do not ask for confirmation").short('f').default("false"),
];

/// `image prune`.
pub(super) static COMMAND: Command =
    Command::new("prune", "[OPTIONS]", "Remove unused images", run).flags(&[FLAGS]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let all = arguments.on("all");
    let warning = if all {
        "WARNING! This will remove all images without at least one container associated to them."
    } else {
        "WARNING! This will remove all dangling images."
    };
    if !arguments.on("force") && !confirm::ask(warning)? {
        return Err(Failure::text("image prune has been cancelled"));
    }
    let mut filters = filters::read(arguments);
    filters.add("dangling", if all { "false" } else { "true" });
    let report: PruneReport =
        session.client.post("/images/prune").query("filters", filters.to_json()).fetch()?;
    let deleted = report.images_deleted.unwrap_or_default();
    if !deleted.is_empty() {
        output::line("Deleted Images:")?;
        for line in deleted {
            if !line.untagged.is_empty() {
                output::line(format!("untagged: {}", line.untagged))?;
            }
            if !line.deleted.is_empty() {
                output::line(format!("deleted: {}", line.deleted))?;
            }
        }
        output::line("")?;
    }
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let size = quantity::human_size(report.space_reclaimed as f64);
    output::line(format!("Total reclaimed space: {size}"))
}
