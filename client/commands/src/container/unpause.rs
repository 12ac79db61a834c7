//! `unpause`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;

use crate::session::Session;
use crate::targets;

/// `unpause`.
pub(crate) static COMMAND: Command = Command::new(
    "unpause",
    "CONTAINER [CONTAINER...]",
    "Unpause all processes within one or more containers",
    run,
)
.operands(Operands::AtLeast(1))
.known_as(&["container unpause", "unpause"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    targets::each(&arguments.operands, |id| {
        session.client.post(format!("/containers/{id}/unpause")).run()
    })
}
