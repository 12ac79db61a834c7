//! `network …`.

mod inspect;
mod ls;

use crate::command::Command;

/// `network`.
pub(crate) static NETWORK: Command =
    Command::parent("network", "Manage networks", &[&inspect::COMMAND, &ls::COMMAND]);
