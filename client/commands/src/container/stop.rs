//! `stop` and `restart`, which take the same flags and say the same.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;
use crate::targets;
use base_faults::{Step, reach, step};

const REQUESTED: &Step = step("client.stop.requested");

static FLAGS: &[Flag] = &[
    Flag::new("signal", Kind::Text, "Signal to send to the container").short('s'),
    Flag::new("timeout", Kind::Int, "Seconds to wait before killing the container")
        .short('t')
        .default("0"),
    Flag::new("time", Kind::Int, "Seconds to wait before killing the container")
        .default("0")
        .hidden(),
];

/// `stop`.
pub(crate) static STOP: Command = Command::new(
    "stop",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
    |session, arguments| run(session, arguments, "stop"),
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Running)
.known_as(&["container stop", "stop"]);

/// `restart`.
pub(crate) static RESTART: Command = Command::new(
    "restart",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    |session, arguments| run(session, arguments, "restart"),
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Containers)
.known_as(&["container restart", "restart"]);

fn run(session: &Session, arguments: &Arguments, action: &str) -> Result<(), Failure> {
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
        let request = session.client.post(format!("/containers/{id}/{action}"));
        let outcome = request.query_if("t", timeout).query_if("signal", signal).run();
        reach(REQUESTED);
        outcome
    })
}
