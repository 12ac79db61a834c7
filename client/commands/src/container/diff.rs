//! `diff`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use contracts_engine_api::container::FilesystemChange;

/// `diff`.
pub(crate) static COMMAND: Command = Command::new(
    "diff",
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
    run,
)
.operands(Operands::Exactly(1))
.names(Names::Containers)
.known_as(&["container diff", "diff"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let path = format!("/containers/{}/changes", arguments.operand());
    let changes: Option<Vec<FilesystemChange>> = session.client.get(path).fetch()?;
    changes.unwrap_or_default().iter().try_for_each(|change| {
        let kind = match change.kind {
            0 => 'C',
            1 => 'A',
            _ => 'D',
        };
        output::line(format!("{kind} {}", change.path))
    })
}
