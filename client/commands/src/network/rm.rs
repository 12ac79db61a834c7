//! `network rm`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::{Failure, told};
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;

static FLAGS: &[Flag] =
    &[Flag::new("force", Kind::Switch, "Do not error if the network does not exist")
        .short('f')
        .default("false")];

/// `network rm`.
pub(super) static COMMAND: Command =
    Command::new("rm", "NETWORK [NETWORK...]", "Remove one or more networks", run)
        .flags(&[FLAGS])
        .operands(Operands::AtLeast(1))
        .names(Names::Networks)
        .aliases(&["remove"])
        .known_as(&["network rm", "network remove"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let mut failed = false;
    for name in &arguments.operands {
        match session.client.delete(format!("/networks/{name}")).run() {
            Ok(()) => output::line(name)?,
            Err(error) if error.is_not_found() && arguments.on("force") => {}
            Err(error) => {
                output::note(told(&error));
                failed = true;
            }
        }
    }
    if failed { Err(Failure::Code(1)) } else { Ok(()) }
}
