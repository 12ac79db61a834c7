//! `image inspect`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::{inspecting, show};

static FLAGS: &[Flag] = &[
    Flag::new("format", Kind::Text, show::FORMAT_HELP).short('f'),
    Flag::new(
        "platform",
        Kind::Text,
        "Inspect the variant for a platform, \"os[/arch[/variant]]\"",
    ),
];

/// `image inspect`.
pub(super) static COMMAND: Command = Command::new(
    "inspect",
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Images);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let platform = arguments.text_if_given("platform").map(super::rm::platform_json);
    inspecting::inspect(&arguments.operands, arguments.text("format"), |name| {
        let request = session.client.get(format!("/images/{name}/json"));
        request.query_if("platform", platform.clone()).fetch()
    })
}
