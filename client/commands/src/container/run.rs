//! `run`: create, attach, wait, start, in this order, so that no output and no exit is missed.

use super::creation::Creation;
use super::foreground::{self, Streams, Waiting, check_terminal, keys_text, pass_code_on};
use super::options::CREATE_FLAGS;
use crate::arguments::Arguments;
use crate::attachment::{self, End};
use crate::command::{Command, Group, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::output;
use crate::session::Session;
use crate::signals::{self, Foreground, Plan};
use crate::terminal;
use base_faults::{Step, reach, step};

const CREATED: &Step = step("client.run.created");
const ATTACHED: &Step = step("client.run.attached");
const STARTED: &Step = step("client.run.started");

static FLAGS: &[Flag] = &[
    Flag::new("detach", Kind::Switch, "Run in the background and print the container ID")
        .short('d')
        .default("false"),
    Flag::new("detach-keys", Kind::Text, "Override the key sequence for detaching"),
    Flag::new("sig-proxy", Kind::Switch, "Pass received signals on to the process").default("true"),
];

/// `run`.
pub(crate) static COMMAND: Command = Command::new(
    "run",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    run,
)
.flags(&[CREATE_FLAGS, FLAGS])
.operands(Operands::AtLeast(1))
.names(Names::Images)
.known_as(&["container run", "run"])
.group(Group::Common)
.passes_arguments_on();

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let mut creation = Creation::prepare(session, "run", arguments)?;
    let detach = arguments.on("detach");
    let keys = keys_text(arguments.text("detach-keys"), &session.config).to_owned();
    if detach {
        if arguments.given("attach") {
            let text = "conflicting options: cannot specify both --attach and --detach";
            return Err(Failure::text(text));
        }
        let config = &mut creation.request.config;
        (config.attach_stdin, config.attach_stdout, config.attach_stderr) = (false, false, false);
        config.stdin_once = false;
    } else {
        let config = &creation.request.config;
        check_terminal(config.attach_stdin, config.tty)?;
    }
    remember_terminal_size(&mut creation);
    let id = creation.create()?.id;
    reach(CREATED);
    let config = &creation.request.config;
    if !(config.attach_stdin || config.attach_stdout || config.attach_stderr) {
        start(&creation, &id)?;
        reach(STARTED);
        return output::line(&id);
    }
    in_foreground(&creation, &id, &keys, arguments.on("sig-proxy"))
}

fn in_foreground(
    creation: &Creation<'_>,
    id: &str,
    keys: &str,
    sig_proxy: bool,
) -> Result<(), Failure> {
    let session = creation.session;
    let config = &creation.request.config;
    let streams = Streams {
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        logs: false,
    };
    let wiring = foreground::wiring(config.attach_stdin, config.tty, keys)?;
    let hijacked =
        foreground::attach(session, id, streams, keys).map_err(|error| creation.failed(&error))?;
    reach(ATTACHED);
    let removes = creation.request.host_config.as_ref().is_some_and(|host| host.auto_remove);
    let condition = if removes { "removed" } else { "next-exit" };
    let waiting =
        Waiting::begin(session, id, condition).map_err(|error| creation.failed(&error))?;
    let process = Foreground::Container(id.to_owned());
    if config.tty {
        signals::watch(&session.client, process.clone(), Plan::KeepSize)?;
    } else if sig_proxy {
        signals::watch(&session.client, process.clone(), Plan::PassOn)?;
    }
    let attachment = attachment::begin(hijacked, &wiring)?;
    if let Err(failure) = start(creation, id) {
        drop(attachment);
        if removes {
            // The daemon removes it; its name is free when we return.
            let _ = waiting.finish();
        }
        return Err(failure);
    }
    reach(STARTED);
    if config.tty {
        signals::resize_at_start(&session.client, &process);
    }
    match attachment.finish()? {
        End::Detached => Ok(()),
        End::Finished => pass_code_on(waiting.finish()?),
    }
}

fn start(creation: &Creation<'_>, id: &str) -> Result<(), Failure> {
    let request = creation.session.client.post(format!("/containers/{id}/start"));
    request.run().map_err(|error| creation.failed(&error))
}

/// A terminal that has the right size from the start needs no redrawing.
fn remember_terminal_size(creation: &mut Creation<'_>) {
    if creation.request.config.tty
        && let Some(size) = terminal::stdout_size()
        && let Some(host) = &mut creation.request.host_config
    {
        host.console_size = [size.rows.into(), size.columns.into()];
    }
}
