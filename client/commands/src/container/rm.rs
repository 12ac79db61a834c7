//! `rm`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::{Failure, told};
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;
use crate::targets;
use base_faults::{Step, reach, step};

const REQUESTED: &Step = step("client.rm.requested");

static FLAGS: &[Flag] = &[
    Flag::new("force", Kind::Switch, "Force the removal of a running container (uses SIGKILL)")
        .short('f')
        .default("false"),
    Flag::new("link", Kind::Switch, "Remove the specified link").short('l').default("false"),
    Flag::new("volumes", Kind::Switch, "Remove the container's anonymous volumes")
        .short('v')
        .default("false"),
];

/// `rm`.
pub(crate) static COMMAND: Command =
    Command::new("rm", "[OPTIONS] CONTAINER [CONTAINER...]", "Remove one or more containers", run)
        .flags(&[FLAGS])
        .aliases(&["remove"])
        .operands(Operands::AtLeast(1))
        .names(Names::Containers)
        .known_as(&["container rm", "container remove", "rm"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let force = arguments.on("force");
    if let Some(empty) = arguments.operands.iter().find(|id| id.trim_matches('/').is_empty()) {
        return Err(Failure::text(format!(
            "invalid container name or ID: value is empty: {empty:?}"
        )));
    }
    targets::all_at_once_but(&arguments.operands, |id| {
        let outcome = session
            .client
            .delete(format!("/containers/{}", id.trim_matches('/')))
            .flag("v", arguments.on("volumes"))
            .flag("link", arguments.on("link"))
            .flag("force", force)
            .run();
        reach(REQUESTED);
        match outcome {
            // What is to be gone and is not there is no failure.
            Err(error) if force && error.is_not_found() => {
                output::note(told(&error));
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    })
}
