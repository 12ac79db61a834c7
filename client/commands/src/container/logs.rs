//! `logs`.

use crate::arguments::Arguments;
use crate::attachment::{copy_frames, copy_raw};
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::instant;
use crate::session::Session;
use contracts_engine_api::container::InspectResponse;
use contracts_engine_api::stream::MULTIPLEXED_STREAM;
use jiff::Timestamp;

static FLAGS: &[Flag] = &[
    Flag::new("details", Kind::Switch, "Show extra details provided to logs").default("false"),
    Flag::new("follow", Kind::Switch, "Follow log output").short('f').default("false"),
    Flag::new(
        "since",
        Kind::Text,
        "Show logs since a time (e.g. \"2013-01-02T13:23:37Z\") or for a while (e.g. \"42m\")",
    ),
    Flag::new("tail", Kind::Text, "Number of lines to show from the end of the logs")
        .short('n')
        .default("all"),
    Flag::new("timestamps", Kind::Switch, "Show timestamps").short('t').default("false"),
    Flag::new(
        "until",
        Kind::Text,
        "Show logs before a time (e.g. \"2013-01-02T13:23:37Z\") or a while ago (e.g. \"42m\")",
    ),
];

/// `logs`.
pub(crate) static COMMAND: Command =
    Command::new("logs", "[OPTIONS] CONTAINER", "Fetch the logs of a container", run)
        .flags(&[FLAGS])
        .operands(Operands::Exactly(1))
        .names(Names::Containers)
        .known_as(&["container logs", "logs"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let id = arguments.operand();
    let now = Timestamp::now();
    let time = |name: &'static str| -> Result<Option<String>, Failure> {
        let given = arguments.text_if_given(name).filter(|text| !text.is_empty());
        given
            .map(|text| instant::parameter(text, now))
            .transpose()
            .map_err(|why| Failure::text(format!("invalid value for \"{name}\": {why}")))
    };
    let response = session
        .client
        .get(format!("/containers/{id}/logs"))
        .flag("stdout", true)
        .flag("stderr", true)
        .flag("follow", arguments.on("follow"))
        .flag("timestamps", arguments.on("timestamps"))
        .flag("details", arguments.on("details"))
        .query("tail", arguments.text("tail"))
        .query_if("since", time("since")?)
        .query_if("until", time("until")?)
        .send()?;
    // Since API 1.42 the type says whether there are frames; before, only the container knows.
    let framed = if session.client.version().at_least(42) {
        response.header("Content-Type") == Some(MULTIPLEXED_STREAM)
    } else {
        let path = format!("/containers/{id}/json");
        let container: InspectResponse = session.client.get(path).fetch()?;
        !container.config.tty
    };
    if framed { copy_frames(response.into_body()) } else { copy_raw(response.into_body()) }
}
