//! `top`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::listing::align_with;
use crate::output;
use crate::session::Session;
use contracts_engine_api::container::TopResponse;

/// `top`.
pub(crate) static COMMAND: Command = Command::new(
    "top",
    "CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    run,
)
.operands(Operands::AtLeast(1))
.names(Names::Running)
.passes_arguments_on()
.known_as(&["container top", "top"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    /// The least width of a column, and what is between two of them.
    const SHAPE: (usize, usize) = (20, 3);
    let options = arguments.operands[1..].join(" ");
    let top: TopResponse = session
        .client
        .get(format!("/containers/{}/top", arguments.operand()))
        .query_if("ps_args", (!options.is_empty()).then_some(options))
        .fetch()?;
    let lines = std::iter::once(top.titles.unwrap_or_default());
    let lines = lines.chain(top.processes.unwrap_or_default());
    let text: String = lines.map(|cells| cells.join("\t") + "\n").collect();
    output::print(&align_with(&text, SHAPE.0, SHAPE.1))
}
