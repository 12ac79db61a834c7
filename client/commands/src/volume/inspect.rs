//! `volume inspect`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{inspecting, show};

static FLAGS: &[Flag] = &[Flag::new("format", Kind::Text, show::FORMAT_HELP).short('f')];

/// `volume inspect`.
pub(super) static COMMAND: Command = Command::new(
    "inspect",
    "[OPTIONS] VOLUME [VOLUME...]",
    "Display detailed information on one or more volumes",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Volumes);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    inspecting::inspect(&arguments.operands, arguments.text("format"), |name| {
        session.client.get(format!("/volumes/{name}")).fetch()
    })
}
