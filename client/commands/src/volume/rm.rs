//! `volume rm`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::targets;

static FLAGS: &[Flag] =
    &[Flag::new("force", Kind::Switch, "Force the removal of one or more volumes")
        .short('f')
        .default("false")];

/// `volume rm`.
pub(super) static COMMAND: Command =
    Command::new("rm", "[OPTIONS] VOLUME [VOLUME...]", "Remove one or more volumes", run)
        .flags(&[FLAGS])
        .operands(Operands::AtLeast(1))
        .names(Names::Volumes)
        .aliases(&["remove"])
        .known_as(&["volume rm", "volume remove"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    targets::each(&arguments.operands, |name| {
        session.client.delete(format!("/volumes/{name}")).flag("force", arguments.on("force")).run()
    })
}
