//! `attach`.

use super::foreground::{self, Streams, Waiting, check_terminal, keys_text, pass_code_on};
use crate::arguments::Arguments;
use crate::attachment::{self, End};
use crate::command::{Command, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::signals::{self, Foreground, Plan};
use contracts_engine_api::container::InspectResponse;

static FLAGS: &[Flag] = &[
    Flag::new("detach-keys", Kind::Text, "Override the key sequence for detaching"),
    Flag::new("no-stdin", Kind::Switch, "Do not attach STDIN").default("false"),
    Flag::new("sig-proxy", Kind::Switch, "Pass received signals on to the process").default("true"),
];

/// `attach`.
pub(crate) static COMMAND: Command = Command::new(
    "attach",
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    run,
)
.flags(&[FLAGS])
.operands(Operands::Exactly(1))
.names(Names::Running)
.known_as(&["container attach", "attach"]);

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let path = format!("/containers/{}/json", arguments.operand());
    let container: InspectResponse = session.client.get(path).fetch()?;
    let refusal = match &container.state {
        state if !state.running => "You cannot attach to a stopped container, start it first",
        state if state.paused => "You cannot attach to a paused container, unpause it first",
        state if state.restarting => {
            "You cannot attach to a restarting container, wait until it is running"
        }
        _ => "",
    };
    if !refusal.is_empty() {
        return Err(Failure::text(refusal));
    }
    let config = &container.config;
    let stdin = config.open_stdin && !arguments.on("no-stdin");
    check_terminal(stdin, config.tty)?;
    let keys = keys_text(arguments.text("detach-keys"), &session.config);
    let wiring = foreground::wiring(stdin, config.tty, keys)?;
    // The name as it was given: errors repeat it.
    let id = arguments.operand();
    let waiting = Waiting::begin(session, id, "")?;
    let streams = Streams { stdin, stdout: true, stderr: true, logs: false };
    let hijacked = foreground::attach(session, id, streams, keys)?;
    let process = Foreground::Container(container.id.clone());
    if config.tty {
        signals::watch(&session.client, process.clone(), Plan::KeepSize)?;
    } else if arguments.on("sig-proxy") {
        signals::watch(&session.client, process.clone(), Plan::PassOn)?;
    }
    let attachment = attachment::begin(hijacked, &wiring)?;
    if config.tty {
        redraw(session, &process);
    }
    match attachment.finish()? {
        End::Detached => Err(Failure::text("read escape sequence")),
        End::Finished => pass_code_on(waiting.finish()?),
    }
}

/// Programs redraw when their terminal changes its size: it is made a line smaller and right
/// again, as docker/cli does, so that whoever attaches sees the screen.
fn redraw(session: &Session, process: &Foreground) {
    if let Some(size) = crate::terminal::stdout_size()
        && let Foreground::Container(id) = process
    {
        let _ = session
            .client
            .post(format!("/containers/{id}/resize"))
            .query("h", (size.rows + 1).to_string())
            .query("w", (size.columns + 1).to_string())
            .run();
        signals::resize_at_start(&session.client, process);
    }
}
