//! `inspect`: of whatever has the name.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{inspecting, show};
use client_http::Error;
use serde_json::Value;

static FLAGS: &[Flag] = &[
    Flag::new("format", Kind::Text, show::FORMAT_HELP).short('f'),
    Flag::new("size", Kind::Switch, "Display total file sizes if the type is container")
        .short('s')
        .default("false"),
    Flag::new("type", Kind::Text, "Only inspect objects of the given type"),
];

/// `inspect`.
pub(crate) static COMMAND: Command = Command::new(
    "inspect",
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on Docker objects",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Objects);

/// The types, in the order in which they are tried.
const TYPES: [(&str, &str, &str); 4] = [
    ("container", "/containers/", "/json"),
    ("image", "/images/", "/json"),
    ("network", "/networks/", ""),
    ("volume", "/volumes/", ""),
];

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let kind = arguments.text("type");
    let size = arguments.on("size");
    if arguments.given("type") && kind.is_empty() {
        return Err(Failure::text(
            "type is empty: must be one of \"container\", \"image\", \"network\", \"volume\"",
        ));
    }
    if !kind.is_empty() && !TYPES.iter().any(|(name, ..)| *name == kind) {
        return Err(Failure::text(format!(
            "unknown type: {kind:?}: must be one of \"container\", \"image\", \"network\", \"volume\""
        )));
    }
    inspecting::inspect(&arguments.operands, arguments.text("format"), |name| {
        fetch(session, name, kind, size)
    })
}

fn fetch(session: &Session, name: &str, kind: &str, size: bool) -> Result<Value, Error> {
    let mut last = None;
    for (known, before, after) in TYPES {
        if !kind.is_empty() && kind != known {
            continue;
        }
        let request = session.client.get(format!("{before}{name}{after}"));
        match request.flag("size", size && known == "container").fetch() {
            Err(error) if error.is_not_found() => last = Some(error),
            // A name that no image can have is simply not an image's.
            Err(Error::Answer { status: 400, message }) if kind.is_empty() => {
                last = Some(Error::Answer { status: 400, message });
            }
            outcome => return outcome,
        }
    }
    match last {
        Some(error) if !kind.is_empty() => Err(error),
        _ => {
            let message = format!("Error: No such object: {name}");
            Err(Error::Missing { message })
        }
    }
}
