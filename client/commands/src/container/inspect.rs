//! `container inspect`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{inspecting, show};

static FLAGS: &[Flag] = &[
    Flag::new("format", Kind::Text, show::FORMAT_HELP).short('f'),
    Flag::new("size", Kind::Switch, "Display total file sizes").short('s').default("false"),
];

/// `container inspect`.
pub(super) static COMMAND: Command = Command::new(
    "inspect",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Display detailed information on one or more containers",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Containers);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let size = arguments.on("size");
    inspecting::inspect(&arguments.operands, arguments.text("format"), |id| {
        session.client.get(format!("/containers/{id}/json")).flag("size", size).fetch()
    })
}
