//! The init, run as an ordinary process.

#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};

fn init(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry-init"));
    command.args(words).stdin(Stdio::null());
    command
}

fn output(words: &[&str]) -> Output {
    init(words).output().expect("run the init")
}

/// Starts a shell script and waits for its first line.
fn started(script: &str) -> (Child, impl Read) {
    let child = init(&["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("start the init");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("read a line");
    assert_eq!(line, "ready\n");
    (child, lines)
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.expect("run kill").success());
}

#[test]
fn the_commands_exit_code_output_and_environment_are_its_own() {
    let run = init(&["--", "sh", "-c", "echo $WORD; exit 7"]).env("WORD", "blue").output().unwrap();
    assert_eq!(run.status.code(), Some(7));
    assert_eq!(run.stdout, b"blue\n");
    assert_eq!(output(&["true"]).status.code(), Some(0));
}

#[test]
fn a_command_that_cannot_run_has_a_shells_exit_codes() {
    assert_eq!(output(&["--", "no-such-command"]).status.code(), Some(127));
    assert_eq!(output(&["--", "/no/such/command"]).status.code(), Some(127));
    assert_eq!(output(&["--", "/etc/passwd"]).status.code(), Some(126));
    assert_eq!(output(&[]).status.code(), Some(1));
}

#[test]
fn signals_reach_the_command_once() {
    let script = "trap 'echo term' TERM; trap 'echo user; exit 3' USR1; echo ready; \
                  while :; do sleep 0.05; done";
    let (mut child, mut rest) = started(script);
    signal(&child, "-TERM");
    let mut line = [0; 5];
    rest.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"term\n");
    signal(&child, "-USR1");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut left = String::new();
    rest.read_to_string(&mut left).unwrap();
    assert_eq!(left, "user\n");
}

#[test]
fn death_by_a_signal_is_told_as_an_exit_code() {
    let (mut child, _rest) = started("echo ready; kill -9 $$");
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(137), None));
}

#[test]
fn the_command_starts_with_no_signal_blocked_or_ignored() {
    // No shell between: busybox's ignores SIGQUIT, and so does what it runs itself.
    let run = output(&["--", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]);
    let text = String::from_utf8(run.stdout).unwrap();
    let masks = text.lines().filter_map(|line| line.split_once('\t'));
    let masks: Vec<u64> = masks.map(|(_, mask)| u64::from_str_radix(mask, 16).unwrap()).collect();
    // Signals 32 and 33 are the C library's own.
    assert!(masks.len() == 2 && masks.iter().all(|mask| mask & 0x7fff_ffff == 0), "{text}");
}

#[test]
fn the_command_is_the_leader_of_a_group_of_its_own() {
    let run = output(&["--", "sh", "-c", "echo $$; cut -d' ' -f5 /proc/$$/stat"]);
    let text = String::from_utf8(run.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], lines[1], "{text}");
}
