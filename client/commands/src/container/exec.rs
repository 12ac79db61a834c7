//! `exec`.

use super::foreground::{self, check_terminal, keys_text, pass_code_on};
use super::options::environment;
use crate::arguments::Arguments;
use crate::attachment::{self, End};
use crate::command::{Command, Group, Names, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::session::Session;
use crate::signals::{self, Foreground, Plan};
use crate::terminal;
use base_faults::{Step, reach, step};
use contracts_engine_api::container::IdResponse;
use contracts_engine_api::exec::{ExecCreateRequest, ExecInspectResponse, ExecStartRequest};

const CREATED: &Step = step("client.exec.created");
const STARTED: &Step = step("client.exec.started");

static FLAGS: &[Flag] = &[
    Flag::new("detach", Kind::Switch, "Detached mode: run the command in the background")
        .short('d')
        .default("false"),
    Flag::new("detach-keys", Kind::Text, "Override the key sequence for detaching"),
    Flag::new("env", Kind::List, "Set environment variables").short('e'),
    Flag::new("env-file", Kind::List, "Read environment variables from a file"),
    Flag::new("interactive", Kind::Switch, "Keep STDIN open even if not attached")
        .short('i')
        .default("false"),
    Flag::new("privileged", Kind::Switch, "Give extended privileges to the command")
        .default("false"),
    Flag::new("tty", Kind::Switch, "Allocate a pseudo-TTY").short('t').default("false"),
    Flag::new("user", Kind::Text, "Username or UID (format: \"<name|uid>[:<group|gid>]\")")
        .short('u'),
    Flag::new("workdir", Kind::Text, "Working directory inside the container").short('w'),
];

/// `exec`.
pub(crate) static COMMAND: Command = Command::new(
    "exec",
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    run,
)
.flags(&[FLAGS])
.operands(Operands::AtLeast(2))
.names(Names::Running)
.known_as(&["container exec", "exec"])
.group(Group::Common)
.passes_arguments_on();

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let detach = arguments.on("detach");
    let tty = arguments.on("tty");
    let stdin = arguments.on("interactive") && !detach;
    let keys = keys_text(arguments.text("detach-keys"), &session.config);
    if !detach {
        check_terminal(stdin, tty)?;
    }
    let console_size = terminal::stdout_size()
        .filter(|_| tty && !detach)
        .map(|size| [u32::from(size.rows), u32::from(size.columns)]);
    let request = ExecCreateRequest {
        user: arguments.text("user").to_owned(),
        privileged: arguments.on("privileged"),
        tty,
        console_size,
        attach_stdin: stdin,
        attach_stderr: !detach,
        attach_stdout: !detach,
        detach_keys: keys.to_owned(),
        env: Some(environment(session, arguments).map_err(Failure::text)?),
        working_dir: arguments.text("workdir").to_owned(),
        cmd: Some(arguments.operands[1..].to_vec()),
    };
    let path = format!("/containers/{}/exec", arguments.operand());
    let exec: IdResponse = session.client.post(path).json(&request).fetch()?;
    reach(CREATED);
    let start = ExecStartRequest { detach, tty, console_size };
    let start = session.client.post(format!("/exec/{}/start", exec.id)).json(&start);
    if detach {
        return Ok(start.run()?);
    }
    let wiring = foreground::wiring(stdin, tty, keys)?;
    let hijacked = start.hijack()?;
    reach(STARTED);
    let process = Foreground::Exec(exec.id.clone());
    if tty {
        signals::watch(&session.client, process.clone(), Plan::KeepSize)?;
    }
    let attachment = attachment::begin(hijacked, &wiring)?;
    if tty {
        signals::resize_at_start(&session.client, &process);
    }
    match attachment.finish()? {
        End::Detached => Err(Failure::text("read escape sequence")),
        End::Finished => {
            let path = format!("/exec/{}/json", exec.id);
            let exec: ExecInspectResponse = session.client.get(path).fetch()?;
            let code = exec.exit_code.unwrap_or(0);
            pass_code_on(i32::try_from(code).unwrap_or(125))
        }
    }
}
