//! `volume …`.

mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

use crate::command::Command;

/// `volume`.
pub(crate) static VOLUME: Command = Command::parent(
    "volume",
    "Manage volumes",
    &[&create::COMMAND, &inspect::COMMAND, &ls::COMMAND, &prune::COMMAND, &rm::COMMAND],
);
