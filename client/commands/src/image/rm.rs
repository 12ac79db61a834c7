//! `rmi`, `image rm`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::{Failure, told};
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;
use contracts_engine_api::image::DeleteResponse;
use serde_json::json;

static FLAGS: &[Flag] = &[
    Flag::new("force", Kind::Switch, "Force removal of the image").short('f').default("false"),
    Flag::new("no-prune", Kind::Switch, "Do not delete untagged parents").default("false"),
    Flag::new(
        "platform",
        Kind::Texts,
        "Remove only the given platform variant, \"os[/arch[/variant]]\"",
    ),
];

const NAMES: &[&str] = &["image rm", "image remove", "rmi"];

/// `rmi`.
pub(crate) static COMMAND: Command =
    Command::new("rmi", "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", run)
        .flags(&[FLAGS])
        .operands(Operands::AtLeast(1))
        .names(Names::Images)
        .known_as(NAMES);

/// `image rm`.
pub(super) static IN_IMAGE: Command =
    Command::new("rm", "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", run)
        .flags(&[FLAGS])
        .operands(Operands::AtLeast(1))
        .names(Names::Images)
        .aliases(&["remove"])
        .known_as(NAMES);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let force = arguments.on("force");
    let mut failures = Vec::new();
    let mut fatal = false;
    for name in &arguments.operands {
        let mut request = session
            .client
            .delete(format!("/images/{name}"))
            .flag("force", force)
            .flag("noprune", arguments.on("no-prune"));
        for platform in arguments.list("platform").flat_map(|text| text.split(',')) {
            request = request.query("platforms", platform_json(platform));
        }
        match request.fetch::<Vec<DeleteResponse>>() {
            Err(error) => {
                fatal |= !error.is_not_found() || !force;
                failures.push(told(&error));
            }
            Ok(lines) => {
                for line in lines {
                    if line.deleted.is_empty() {
                        output::line(format!("Untagged: {}", line.untagged))?;
                    } else {
                        output::line(format!("Deleted: {}", line.deleted))?;
                    }
                }
            }
        }
    }
    let text = failures.join("\n");
    match (failures.is_empty(), fatal) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::text(text)),
        (false, false) => {
            output::note(text);
            Ok(())
        }
    }
}

pub(super) fn platform_json(text: &str) -> String {
    let mut parts = text.splitn(3, '/');
    let mut platform = json!({"os": parts.next().unwrap_or_default()});
    for (name, part) in ["architecture", "variant"].into_iter().zip(parts) {
        platform[name] = part.into();
    }
    platform.to_string()
}
