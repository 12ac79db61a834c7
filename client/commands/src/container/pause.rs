//! `pause` and `unpause`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::session::Session;
use crate::targets;

/// `pause`.
pub(crate) static PAUSE: Command = Command::new(
    "pause",
    "CONTAINER [CONTAINER...]",
    "Pause all processes within one or more containers",
    |session, arguments| run(session, arguments, "pause"),
)
.operands(Operands::AtLeast(1))
.names(Names::Running)
.known_as(&["container pause", "pause"]);

/// `unpause`.
pub(crate) static UNPAUSE: Command = Command::new(
    "unpause",
    "CONTAINER [CONTAINER...]",
    "Unpause all processes within one or more containers",
    |session, arguments| run(session, arguments, "unpause"),
)
.operands(Operands::AtLeast(1))
.names(Names::Paused)
.known_as(&["container unpause", "unpause"]);

fn run(session: &Session, arguments: &Arguments, action: &str) -> Result<(), Failure> {
    targets::each(&arguments.operands, |id| {
        session.client.post(format!("/containers/{id}/{action}")).run()
    })
}
