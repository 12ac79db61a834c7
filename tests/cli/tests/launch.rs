//! The daemon that the client starts by itself, in mount and network namespaces of the test's own.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::Command;
use tests_harness::{output_of, programs};

/// Runs a shell script where `/run` and the data root are empty; `$G` is a copy of the client
/// with the other programs beside it, in `$PROGRAMS`.
fn on_a_bare_machine(script: &str) -> String {
    let folder = tempfile::Builder::new().prefix("gantry-launch-").tempdir().expect("folder");
    let copy = folder.path().join("programs");
    fs::create_dir_all(&copy).expect("create folder");
    for program in fs::read_dir(programs()).expect("read the programs' folder").flatten() {
        fs::copy(program.path(), copy.join(program.file_name())).expect("copy a program");
    }
    fs::create_dir_all("/var/lib/gantry").expect("create the data root");
    let whole = format!(
        "set -u
         ip link set lo up
         mount -t tmpfs tmpfs /run
         mkdir {data} && mount --bind {data} /var/lib/gantry
         export PROGRAMS={programs} G={programs}/gantry
         unset DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG
         {script}
         for file in gantryd.pid supervisor/supervisor.pid; do
             [ -e /run/gantry/$file ] || continue
             pid=$(cat /run/gantry/$file); kill $pid
             while kill -0 $pid 2>/dev/null; do sleep 0.05; done
         done",
        data = path(&folder.path().join("data")),
        programs = path(&copy),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-c", &whole]).env("HOME", folder.path());
    output_of(&mut command)
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn three_clients_at_once_start_one_daemon() {
    let text = on_a_bare_machine(
        "for n in 1 2 3; do $G version --format '{{.Server.Version}}' & clients=\"${clients:-} $!\"; done
         wait $clients
         echo daemons $(pgrep -cf $PROGRAMS/gantryd)
         $G ps -q; $G ps -q
         echo daemons $(pgrep -cf $PROGRAMS/gantryd)
         ps -o sid= -p $(cat /run/gantry/gantryd.pid) | tr -d ' '; cat /run/gantry/gantryd.pid",
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert!(lines[..3].iter().all(|line| *line == lines[0]), "{text}");
    assert_eq!(&lines[3..5], ["daemons 1", "daemons 1"], "{text}");
    assert_eq!(lines[5], lines[6].trim(), "it is the leader of a session of its own");
}

#[test]
fn a_rebuilt_daemon_replaces_the_one_that_runs() {
    let text = on_a_bare_machine(
        "$G ps -q; old=$(cat /run/gantry/gantryd.pid)
         cp $PROGRAMS/gantryd $PROGRAMS/new && mv $PROGRAMS/new $PROGRAMS/gantryd
         $G ps -q; new=$(cat /run/gantry/gantryd.pid)
         [ $old != $new ] && echo replaced
         # One that nobody has reaped yet has ended, too.
         [ -e /proc/$old/exe ] || echo gone
         $G ps -q; [ $new = $(cat /run/gantry/gantryd.pid) ] && echo stays",
    );
    assert_eq!(text.lines().collect::<Vec<_>>(), ["replaced", "gone", "stays"], "{text}");
}

#[test]
fn a_killed_daemon_is_started_again() {
    let text = on_a_bare_machine(
        "$G ps -q; kill -9 $(cat /run/gantry/gantryd.pid)
         $G version --format up; echo code $?",
    );
    assert_eq!(text.lines().collect::<Vec<_>>(), ["up", "code 0"], "{text}");
}

#[test]
fn somebody_who_may_not_is_told_why_and_nothing_is_started() {
    let text = on_a_bare_machine(
        "chmod -R a+rX $PROGRAMS $(dirname $PROGRAMS); cp $G /run/client; chmod a+rx /run /run/client
         as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/ /run/client \"$@\"; }
         as_nobody ps 2>&1; echo code $?
         $G ps -q
         as_nobody info 2>&1; echo code $?
         as_nobody version 2>&1 | grep -c 'Version:'
         echo daemons $(pgrep -cf $PROGRAMS/gantryd)",
    );
    for words in [
        "Cannot connect to the Docker daemon at unix:///run/gantry/docker.sock. Is the docker daemon running?",
        "Client:\n Version:",
        "permission denied while trying to connect to the Docker daemon socket at \
         unix:///run/gantry/docker.sock: Get \"http://%2Frun%2Fgantry%2Fdocker.sock/v1.51/info\": \
         dial unix /run/gantry/docker.sock: connect: permission denied",
        "sudo",
        "\n1\ndaemons 1",
    ] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert_eq!(text.matches("code 1").count(), 2, "{text}");
}

#[test]
fn a_daemon_that_cannot_start_shows_the_end_of_its_log() {
    let text = on_a_bare_machine(
        "printf '#!/bin/sh\\necho it is broken >&2\\nexit 3\\n' > $PROGRAMS/gantryd
         $G ps 2>&1; echo code $?",
    );
    assert!(text.contains("it is broken") && text.contains("code 1"), "{text}");
}
