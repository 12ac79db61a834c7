//! `context use`.

use super::check_name;
use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::session::Session;
use crate::{config_file, contexts, output};

/// `context use`.
pub(super) static COMMAND: Command =
    Command::new("use", "CONTEXT", "Set the current docker context", run)
        .operands(Operands::Exactly(1))
        .names(Names::Contexts)
        .without_daemon();

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let name = arguments.operand();
    let is_default = name == contexts::DEFAULT;
    if !is_default {
        check_name(name)?;
        session.contexts().read(name).map_err(Failure::text)?;
    }
    let kept = if is_default { "" } else { name };
    if session.config.current_context != kept {
        config_file::set_current_context(&session.config_directory, kept).map_err(Failure::text)?;
    }
    output::line(name)?;
    output::note(format!("Current context is now {name:?}"));
    if !is_default && session.names_host() {
        output::note(format!(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use \
             {name:?}, either set the global --context flag, or unset DOCKER_HOST environment variable."
        ));
    }
    Ok(())
}
