//! `wait`.

use super::foreground::Waiting;
use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// `wait`.
pub(crate) static COMMAND: Command = Command::new(
    "wait",
    "CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes",
    run,
)
.operands(Operands::AtLeast(1))
.names(Names::Running)
.known_as(&["container wait", "wait"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for id in &arguments.operands {
        let waited = Waiting::begin(session, id, "").map_err(Failure::from);
        match waited.and_then(Waiting::finish) {
            Ok(code) => output::line(code.to_string())?,
            Err(failure) => failures.extend(failure.told()),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::text(failures.join("\n"))) }
}
