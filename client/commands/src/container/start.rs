//! `start`, with `-a` and `-i` in the foreground.

use super::foreground::{self, Streams, Waiting, keys_text, pass_code_on};
use crate::arguments::Arguments;
use crate::attachment::{self, End};
use crate::command::{Command, Names, Operands};
use crate::failure::{Failure, told};
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;
use crate::signals::{self, Foreground, Plan};
use contracts_engine_api::container::InspectResponse;

static FLAGS: &[Flag] = &[
    Flag::new("attach", Kind::Switch, "Attach STDOUT and STDERR and pass signals on")
        .short('a')
        .default("false"),
    Flag::new("checkpoint", Kind::Text, "Restore from this checkpoint"),
    Flag::new("checkpoint-dir", Kind::Text, "Directory of checkpoints"),
    Flag::new("detach-keys", Kind::Text, "Override the key sequence for detaching"),
    Flag::new("interactive", Kind::Switch, "Attach the container's STDIN")
        .short('i')
        .default("false"),
];

/// `start`.
pub(crate) static COMMAND: Command = Command::new(
    "start",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Stopped)
.known_as(&["container start", "start"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let in_foreground = arguments.on("attach") || arguments.on("interactive");
    match (&arguments.operands[..], in_foreground) {
        ([id], true) => attached(session, arguments, id),
        (_, true) => Err(Failure::text("you cannot start and attach multiple containers at once")),
        (ids, false) => detached(session, arguments, ids),
    }
}

fn detached(session: &Session, arguments: &Arguments, ids: &[String]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for id in ids {
        match request(session, arguments, id).run() {
            Ok(()) => output::line(id)?,
            Err(error) => {
                output::note(told(&error));
                failed.push(id.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::text(format!("Error: failed to start containers: {}", failed.join(", "))))
}

fn request<'s>(session: &'s Session, arguments: &Arguments, id: &str) -> client_http::Request<'s> {
    session
        .client
        .post(format!("/containers/{id}/start"))
        .query_if("checkpoint", arguments.text_if_given("checkpoint"))
        .query_if("checkpoint-dir", arguments.text_if_given("checkpoint-dir"))
}

fn attached(session: &Session, arguments: &Arguments, id: &str) -> Result<(), Failure> {
    let container: InspectResponse =
        session.client.get(format!("/containers/{id}/json")).fetch()?;
    let id = container.id.as_str();
    let config = &container.config;
    let stdin = arguments.on("interactive") && config.open_stdin;
    let keys = keys_text(arguments.text("detach-keys"), &session.config);
    let streams = Streams {
        stdin,
        stdout: config.attach_stdout || arguments.on("attach"),
        stderr: config.attach_stderr || arguments.on("attach"),
        logs: false,
    };
    let wiring = foreground::wiring(stdin, config.tty, keys)?;
    let hijacked = foreground::attach(session, id, streams, keys)?;
    let condition = if container.host_config.auto_remove { "removed" } else { "next-exit" };
    let waiting = Waiting::begin(session, id, condition)?;
    let process = Foreground::Container(id.to_owned());
    let plan = if config.tty { Plan::KeepSize } else { Plan::PassOn };
    signals::watch(&session.client, process.clone(), plan)?;
    let attachment = attachment::begin(hijacked, &wiring)?;
    if let Err(error) = request(session, arguments, id).run() {
        drop(attachment);
        return Err(error.into());
    }
    if config.tty {
        signals::resize_at_start(&session.client, &process);
    }
    match attachment.finish()? {
        End::Detached => Ok(()),
        End::Finished => pass_code_on(waiting.finish()?),
    }
}
