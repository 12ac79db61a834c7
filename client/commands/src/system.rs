//! `system …`, and the short forms of its commands.

mod df;
mod dial_stdio;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod version;

use crate::command::Command;

/// `system`.
pub(crate) static SYSTEM: Command = Command::parent(
    "system",
    "Manage Docker",
    &[&df::COMMAND, &dial_stdio::COMMAND, &events::COMMAND, &info::COMMAND],
);
