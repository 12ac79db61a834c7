//! `create`.

use super::creation::Creation;
use super::options::CREATE_FLAGS;
use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// `create`.
pub(crate) static COMMAND: Command =
    Command::new("create", "[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a new container", run)
        .flags(&[CREATE_FLAGS])
        .operands(Operands::AtLeast(1))
        .names(Names::Images)
        .known_as(&["container create", "create"])
        .passes_arguments_on();

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let creation = Creation::prepare(session, "create", arguments)?;
    output::line(creation.create()?.id)
}
