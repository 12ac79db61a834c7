//! `network …`.

mod connect;
mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

use crate::command::Command;

/// `network`.
pub(crate) static NETWORK: Command = Command::parent(
    "network",
    "Manage networks",
    &[
        &connect::CONNECT,
        &create::COMMAND,
        &connect::DISCONNECT,
        &inspect::COMMAND,
        &ls::COMMAND,
        &prune::COMMAND,
        &rm::COMMAND,
    ],
);
