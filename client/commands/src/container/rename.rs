//! `rename`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::session::Session;

/// `rename`.
pub(crate) static COMMAND: Command =
    Command::new("rename", "CONTAINER NEW_NAME", "Rename a container", run)
        .operands(Operands::Exactly(2))
        .names(Names::Containers)
        .known_as(&["container rename", "rename"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let [old, new] = [0, 1].map(|at| arguments.operands[at].trim());
    if old.is_empty() || new.is_empty() {
        return Err(Failure::text("Error: Neither old nor new names may be empty"));
    }
    session.client.post(format!("/containers/{old}/rename")).query("name", new).run().map_err(
        |error| {
            let text = crate::failure::told(&error);
            Failure::text(format!("{text}\nError: failed to rename container named {old}"))
        },
    )
}
