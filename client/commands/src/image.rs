//! `image …`, and the short forms of its commands.

pub(crate) mod history;
mod inspect;
pub(crate) mod ls;
mod prune;
pub(crate) mod pull;
pub(crate) mod rm;
pub(crate) mod tag;

use crate::command::Command;

/// `image`.
pub(crate) static IMAGE: Command = Command::parent(
    "image",
    "Manage images",
    &[
        &history::COMMAND,
        &inspect::COMMAND,
        &ls::IN_IMAGE,
        &prune::COMMAND,
        &pull::COMMAND,
        &rm::IN_IMAGE,
        &tag::COMMAND,
    ],
);
