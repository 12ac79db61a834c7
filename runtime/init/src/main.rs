//! The init of a container that asks for one: `/sbin/docker-init -- COMMAND [ARGUMENT…]`.
//!
//! It starts the command in a process group of its own, in the foreground of the terminal where
//! there is one, passes signals on to it, reaps every process that ends (as the first process it
//! inherits orphans), and ends with the command's exit code, 128 and the signal's number after a
//! signal. It does nothing else: what it was given is the command's, descriptors and environment.
//!
//! The daemon mounts this program into the container, which must not be able to write it: it is
//! mounted read-only.

#![forbid(unsafe_code)]

use kernel_sys::{Errno, signals};
use rustix::process::{
    Pid, PidfdFlags, WaitOptions, WaitStatus, getpid, pidfd_open, setpgid, wait,
};
use rustix::termios::{isatty, tcsetpgrp};
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;

const SIGCHLD: i32 = 17;
/// Signals that tell of a fault or of the terminal, not of somebody's wish: those of the first
/// process are its own.
const NOT_PASSED_ON: [i32; 9] = [4, 5, 6, 7, 8, 11, 21, 22, 31];
/// Where commands are looked for when the environment does not say (execvp(3)).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Exit codes of a command that cannot be run, as a shell's.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = match words.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => &words[..],
    };
    if command.is_empty() {
        eprintln!("usage: docker-init -- COMMAND [ARGUMENT...]");
        return ExitCode::FAILURE;
    }
    match run(command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("docker-init: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command to its end.
fn run(command: &[OsString]) -> Result<u8, Errno> {
    // Before the fork, so that no signal is lost between the two.
    let arriving = signals::take_all()?;
    let Some(pid) = kernel_sys::fork()? else { become_command(command) };
    let pid = Pid::from_raw(pid).ok_or(Errno::CHILD)?;
    // It cannot be another process': nobody else reaps it.
    let child = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        match signals::next(&arriving)? {
            SIGCHLD => {
                if let Some(code) = reap(pid)? {
                    return Ok(code);
                }
            }
            signal => pass_on(&child, signal),
        }
    }
}

/// Reaps what has ended; the command's exit code when it is among it.
fn reap(command: Pid) -> Result<Option<u8>, Errno> {
    let mut code = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == command => code = Some(exit_code(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(error) => return Err(error),
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let signalled = || Some(128 + status.terminating_signal()?);
    let code = status.exit_status().or_else(signalled).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}

fn pass_on(child: &OwnedFd, signal: i32) {
    if !NOT_PASSED_ON.contains(&signal) {
        // A command that has ended meanwhile has no use for it.
        let _ = signals::send(child.as_fd(), signal);
    }
}

/// The child's part; ends in the command's program or in an exit code.
fn become_command(command: &[OsString]) -> ! {
    // Signals are still blocked: without that, taking the terminal from the background stops us.
    let _ = setpgid(None, None);
    let input = rustix::stdio::stdin();
    if isatty(input) {
        let _ = tcsetpgrp(input, getpid());
    }
    signals::reset();
    let error = execute(command).unwrap_err();
    let name = command[0].to_string_lossy();
    eprintln!("docker-init: exec {name:?}: {error}");
    kernel_sys::exit_now(match error {
        Errno::NOENT | Errno::NOTDIR => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    })
}

/// execvp(3) with the environment as it is.
fn execute(command: &[OsString]) -> Result<Infallible, Errno> {
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Errno::INVAL);
    let arguments = command.iter().map(|word| text(word.clone().into_vec()));
    let arguments: Vec<CString> = arguments.collect::<Result<_, _>>()?;
    let variables = std::env::vars_os()
        .map(|(name, value)| text([name.as_bytes(), b"=", value.as_bytes()].concat()));
    let variables: Vec<CString> = variables.collect::<Result<_, _>>()?;
    let name = command[0].as_bytes();
    if name.contains(&b'/') {
        return kernel_sys::execve(&arguments[0], &arguments, &variables);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let mut refused = Errno::NOENT;
    for folder in path.as_bytes().split(|byte| *byte == b':') {
        // An empty part is the working directory.
        let folder = if folder.is_empty() { OsStr::new(".").as_bytes() } else { folder };
        let candidate = text([folder, b"/", name].concat())?;
        match kernel_sys::execve(&candidate, &arguments, &variables) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            // Found and not to be run: another folder may have a better one.
            Err(Errno::ACCESS) => refused = Errno::ACCESS,
            other => return other,
        }
    }
    Err(refused)
}
