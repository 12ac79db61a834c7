//! `pause`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;

use crate::session::Session;
use crate::targets;

/// `pause`.
pub(crate) static COMMAND: Command = Command::new(
    "pause",
    "CONTAINER [CONTAINER...]",
    "Pause all processes within one or more containers",
    run,
)
.operands(Operands::AtLeast(1))
.known_as(&["container pause", "pause"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    targets::each(&arguments.operands, |id| {
        session.client.post(format!("/containers/{id}/pause")).run()
    })
}
