//! The runtime program: runc's command line over `runtime-container`.
//!
//! Reads argv, the environment and `config.json`, writes the log, exits. What a container is and
//! how it is made is the library's.
//!
//! - [`arguments`]: one definition of each command's flags, parsed by hand.
//! - [`commands`]: one file a group of commands.
//! - [`activation`]: sockets that systemd opened for the container.
//! - [`foreground`]: waiting for a process, passing on signals and a terminal's bytes.
//! - [`log`]: `--log` and stderr.
//! - [`privileges`]: whose runtime this is, root's or somebody else's.

#![forbid(unsafe_code)]

mod activation;
mod arguments;
mod commands;
mod failure;
mod foreground;
mod log;
mod privileges;
mod signals;

use activation::Activation;
use arguments::{Flags, Parsed};
use failure::Failure;
use log::Log;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

/// Every command ends soon, or waits for somebody else.
#[global_allocator]
static ALLOCATOR: kernel_sys::Arena = kernel_sys::Arena::new();

/// What the flags before the command say.
#[derive(Debug)]
struct Global {
    /// Where it tells what it does otherwise than asked.
    log: Rc<Log>,
    /// Where the state of containers is, for commands that have to do with any.
    root: PathBuf,
    /// Whether systemd makes new containers' cgroups.
    systemd_cgroup: bool,
    /// Whether new containers have none.
    no_cgroup: bool,
    /// Whether new containers may do without cgroups that may not be made.
    rootless: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let code = run(&args);
    // No destructors of consequence are left; what the kernel has to clean up is its own.
    ExitCode::from(code)
}

fn run(args: &[String]) -> u8 {
    let (global, rest) = match arguments::parse(arguments::GLOBAL, args, true) {
        Ok(Parsed { flags, rest }) => (flags, rest),
        Err(failure) => return usage(&failure),
    };
    if global.has("version") {
        print!("{}", commands::version());
        return 0;
    }
    let Some((name, command_args)) = rest.split_first() else {
        print!("{}", arguments::help());
        return 0;
    };
    if global.has("help") || matches!(name.as_str(), "help" | "h") {
        print!("{}", arguments::help());
        return 0;
    }
    let log = match Log::open(&global) {
        Ok(log) => Rc::new(log),
        Err(failure) => return usage(&failure),
    };
    let Some(command) = arguments::command(name) else {
        log.error(&format!("No help topic for '{name}'"));
        return 3;
    };
    let parsed = match arguments::parse(command.flags, command_args, command.stops_at_operand) {
        Ok(parsed) => parsed,
        Err(failure) => {
            log.error(&failure.to_string());
            return usage(&failure);
        }
    };
    if parsed.flags.has("help") {
        print!("{}", arguments::help_for(command));
        return 0;
    }
    if let Err(failure) = command.check_operands(&parsed.rest) {
        log.error(&failure.to_string());
        return usage(&failure);
    }
    // With the trace's id, for whoever follows one request through the programs.
    log.debug(&format!("command {name}"));
    let needs_state = !matches!(name.as_str(), "spec" | "features");
    let ran = Global::read(&global, Rc::clone(&log), needs_state).and_then(|global| {
        if command.joins_containers {
            keep_to_itself(&parsed)?;
        }
        (command.run)(&global, &parsed)
    });
    ran.unwrap_or_else(|failure| {
        log.error(&failure.to_string());
        failure.code()
    })
}

impl Global {
    fn read(flags: &Flags, log: Rc<Log>, needs_state: bool) -> Result<Self, Failure> {
        let root = match flags.value("root") {
            Some(root) => PathBuf::from(root),
            None if needs_state => privileges::default_root()?,
            None => PathBuf::new(),
        };
        let manager = flags.value("cgroup-manager").unwrap_or("");
        if !matches!(manager, "" | "cgroupfs" | "systemd" | "disabled") {
            let text = format!("invalid value {manager:?} for --cgroup-manager");
            return Err(Failure::Usage(text));
        }
        let systemd_cgroup = flags.has("systemd-cgroup") || manager == "systemd";
        let no_cgroup = manager == "disabled";
        let rootless = privileges::is_rootless(flags.value("rootless").unwrap_or("auto"))?;
        Ok(Self { log, root, systemd_cgroup, no_cgroup, rootless })
    }
}

/// Runs on from a file that no container can write to, and keeps what its caller left open from
/// hooks: they inherit what is not closed by their exec.
fn keep_to_itself(parsed: &Parsed) -> Result<(), Failure> {
    runtime_container::seal()?;
    let preserved: u32 = parsed.flags.number("preserve-fds")?.unwrap_or(0);
    let preserved = preserved.saturating_add(Activation::read().map_or(0, |s| s.count()));
    kernel_sys::close_on_exec_from(preserved.saturating_add(3))
        .map_err(|errno| Failure::Other(format!("close the caller's descriptors: {errno}")))
}

fn usage(failure: &Failure) -> u8 {
    println!("Incorrect Usage: {failure}\n\n{}", arguments::help());
    eprintln!("{failure}");
    1
}
