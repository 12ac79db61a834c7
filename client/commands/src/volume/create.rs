//! `volume create`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{output, pairs};
use contracts_engine_api::volume::{CreateRequest, Volume};

static FLAGS: &[Flag] = &[
    Flag::new("driver", Kind::Text, "Volume driver").short('d').default("local"),
    Flag::new("label", Kind::List, "Set a label"),
    Flag::new("name", Kind::Text, "Volume name").hidden(),
    Flag::new("opt", Kind::Map, "Options of the driver").short('o').default("map[]"),
];

/// `volume create`.
pub(super) static COMMAND: Command =
    Command::new("create", "[OPTIONS] [VOLUME]", "Create a volume", run)
        .flags(&[FLAGS])
        .operands(Operands::AtMost(1));

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let name = match (arguments.text("name"), arguments.operand()) {
        (flag, "") => flag,
        ("", operand) => operand,
        _ => {
            let text = "conflicting options: cannot specify a volume-name through both --name and as a positional arg";
            return Err(Failure::text(text));
        }
    };
    let request = CreateRequest {
        driver: arguments.text("driver").to_owned(),
        driver_opts: Some(pairs::of(arguments.list("opt"))),
        labels: Some(pairs::of(arguments.list("label"))),
        name: name.to_owned(),
    };
    let volume: Volume = session.client.post("/volumes/create").json(&request).fetch()?;
    output::line(volume.name)
}
