//! `container …`, and the short forms of its commands.

pub(crate) mod attach;
pub(crate) mod create;
pub(crate) mod creation;
pub(crate) mod diff;
pub(crate) mod exec;
mod foreground;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod options;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod prune;
pub(crate) mod rename;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod wait;

use crate::command::Command;

/// `container`.
pub(crate) static CONTAINER: Command = Command::parent(
    "container",
    "Manage containers",
    &[
        &attach::COMMAND,
        &create::COMMAND,
        &diff::COMMAND,
        &exec::COMMAND,
        &inspect::COMMAND,
        &kill::COMMAND,
        &logs::COMMAND,
        &ls::IN_CONTAINER,
        &pause::PAUSE,
        &port::COMMAND,
        &prune::COMMAND,
        &stop::RESTART,
        &rename::COMMAND,
        &rm::COMMAND,
        &run::COMMAND,
        &start::COMMAND,
        &stats::COMMAND,
        &stop::STOP,
        &pause::UNPAUSE,
        &top::COMMAND,
        &wait::COMMAND,
    ],
);
