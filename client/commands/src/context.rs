//! `context …`: daemons by name. None of these commands speaks to one.

mod create;
mod inspect;
mod ls;
mod rm;
mod show;
mod switch;

use crate::command::Command;
use crate::failure::Failure;

/// `context`.
pub(crate) static CONTEXT: Command = Command::parent(
    "context",
    "Manage contexts",
    &[
        &create::CREATE,
        &inspect::COMMAND,
        &ls::COMMAND,
        &rm::COMMAND,
        &show::COMMAND,
        &create::UPDATE,
        &switch::COMMAND,
    ],
);

/// Refuses what is no name of an entry.
fn check_name(name: &str) -> Result<(), Failure> {
    if name == crate::contexts::DEFAULT {
        return Err(Failure::text(format!("{name:?} is a reserved context name")));
    }
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
    if first && name.len() > 1 && name.bytes().skip(1).all(rest) {
        return Ok(());
    }
    Err(Failure::text(format!(
        "context name {name:?} is invalid, names are validated against regexp \
         \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
    )))
}
