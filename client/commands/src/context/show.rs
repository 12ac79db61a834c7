//! `context show`.

use crate::arguments::Arguments;
use crate::command::Command;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// `context show`.
pub(super) static COMMAND: Command =
    Command::new("show", "", "Print the name of the current context", run).without_daemon();

fn run(session: &Session, _: &Arguments) -> Result<(), Failure> {
    output::line(&session.context)
}
