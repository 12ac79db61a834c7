//! `tag`.

use crate::arguments::Arguments;
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::session::Session;
use base_ids::reference::Reference;

/// `tag`.
pub(crate) static COMMAND: Command = Command::new(
    "tag",
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    run,
)
.operands(Operands::Exactly(2))
.names(Names::Images)
.known_as(&["image tag", "tag"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let target = Reference::parse_bare(&arguments.operands[1])
        .map_err(|error| {
            let text = &arguments.operands[1];
            Failure::text(format!(
                "Error parsing reference: {text:?} is not a valid repository/tag: {error}"
            ))
        })?
        .with_default_tag();
    session
        .client
        .post(format!("/images/{}/tag", arguments.operand()))
        .query("repo", target.familiar_name())
        .query("tag", target.tag().unwrap_or_default())
        .run()?;
    Ok(())
}
