//! `context rm`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::contexts;
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;

static FLAGS: &[Flag] =
    &[Flag::new("force", Kind::Switch, "Force the removal of a context in use")
        .short('f')
        .default("false")];

/// `context rm`.
pub(super) static COMMAND: Command =
    Command::new("rm", "CONTEXT [CONTEXT...]", "Remove one or more contexts", run)
        .flags(&[FLAGS])
        .operands(Operands::AtLeast(1))
        .aliases(&["remove"])
        .known_as(&["context rm", "context remove"])
        .names(Names::Contexts)
        .without_daemon();

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for name in &arguments.operands {
        match remove(session, name, arguments.on("force")) {
            Ok(()) => output::line(name)?,
            Err(error) => failures.push(error),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::text(failures.join("\n"))) }
}

fn remove(session: &Session, name: &str, force: bool) -> Result<(), String> {
    if name == contexts::DEFAULT {
        return Err(format!("context {name:?} cannot be removed"));
    }
    let contexts = session.contexts();
    if !contexts.contains(name) && !force {
        return Err(format!("context {name:?} does not exist"));
    }
    if name == session.context {
        if !force {
            return Err(format!("context {name:?} is in use, set -f flag to force remove"));
        }
        if session.config.current_context == name {
            crate::config_file::set_current_context(&session.config_directory, "")?;
        }
    }
    contexts.remove(name)
}
