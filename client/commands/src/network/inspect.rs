//! `network inspect`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{inspecting, show};

static FLAGS: &[Flag] = &[
    Flag::new("format", Kind::Text, show::FORMAT_HELP).short('f'),
    Flag::new("verbose", Kind::Switch, "Verbose output for diagnostics")
        .short('v')
        .default("false"),
];

/// `network inspect`.
pub(super) static COMMAND: Command = Command::new(
    "inspect",
    "[OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Networks);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let verbose = arguments.on("verbose");
    inspecting::inspect(&arguments.operands, arguments.text("format"), |name| {
        session.client.get(format!("/networks/{name}")).flag("verbose", verbose).fetch()
    })
}
