//! `restart`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;
use crate::targets;

static FLAGS: &[Flag] = &[
    Flag::new("signal", Kind::Text, "Signal to send to the container").short('s'),
    Flag::new("timeout", Kind::Int, "Seconds to wait before killing the container")
        .short('t')
        .default("0"),
    Flag::new("time", Kind::Int, "Seconds to wait before killing the container")
        .default("0")
        .hidden(),
];

/// `restart`.
pub(crate) static COMMAND: Command = Command::new(
    "restart",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.known_as(&["container restart", "restart"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.given("time") {
        output::note("Flag --time has been deprecated, use --timeout instead");
        if arguments.given("timeout") {
            let text = "conflicting options: cannot specify both --timeout and --time";
            return Err(Failure::text(text));
        }
    }
    let timeout = arguments.text_if_given("timeout").or(arguments.text_if_given("time"));
    let signal = arguments.text_if_given("signal");
    targets::all_at_once(&arguments.operands, |id| {
        let request = session.client.post(format!("/containers/{id}/restart"));
        request.query_if("t", timeout).query_if("signal", signal).run()
    })
}
