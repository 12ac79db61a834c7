//! `kill`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::targets;

static FLAGS: &[Flag] =
    &[Flag::new("signal", Kind::Text, "Signal to send to the container").short('s')];

/// `kill`.
pub(crate) static COMMAND: Command = Command::new(
    "kill",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Running)
.known_as(&["container kill", "kill"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let signal = arguments.text_if_given("signal");
    targets::each(&arguments.operands, |id| {
        session.client.post(format!("/containers/{id}/kill")).query_if("signal", signal).run()
    })
}
