//! Complaints and help, without a daemon.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use tests_cli::{call, docker, gantry, words};

#[test]
fn complaints_are_docker_s_to_the_letter() {
    let recorded = include_str!("../recorded/words.txt");
    let gantry = gantry();
    let recorded: Vec<&str> = recorded.split("\n\n$").map(str::trim_end).collect();
    let names = recorded.iter().map(|wanted| {
        let first = wanted.lines().next().unwrap_or_default();
        first.trim_start_matches(['$', ' ']).trim_start_matches("docker").trim_start()
    });
    assert!(
        names.eq(words::CALLS.lines()),
        "not recorded: cargo run -p tests-cli --bin record-words"
    );
    let mut wrong = Vec::new();
    for (line, wanted) in words::CALLS.lines().zip(recorded) {
        let outcome = words::without_help(&call(&gantry, words::NOWHERE, &words::split(line)));
        let wanted = format!("$ {}\n", wanted.trim_start_matches('$').trim_start());
        let got = words::render(line, &outcome);
        if got != wanted {
            wrong.push(format!("--- wanted\n{wanted}--- got\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The commands that are here; each has all the flags of Docker's.
const COMMANDS: &[&str] = &[
    "attach",
    "context create",
    "context inspect",
    "context ls",
    "context rm",
    "context show",
    "context update",
    "context use",
    "completion bash",
    "completion fish",
    "completion zsh",
    "container attach",
    "container create",
    "container diff",
    "container exec",
    "container inspect",
    "container kill",
    "container logs",
    "container ls",
    "container pause",
    "container port",
    "container prune",
    "container rename",
    "container restart",
    "container rm",
    "container run",
    "container start",
    "container stats",
    "container stop",
    "container top",
    "container unpause",
    "container wait",
    "create",
    "diff",
    "events",
    "exec",
    "history",
    "image history",
    "image inspect",
    "image prune",
    "image pull",
    "image rm",
    "image tag",
    "images",
    "info",
    "inspect",
    "kill",
    "logs",
    "network connect",
    "network create",
    "network disconnect",
    "network inspect",
    "network prune",
    "network rm",
    "network ls",
    "pause",
    "port",
    "ps",
    "pull",
    "rename",
    "restart",
    "rm",
    "rmi",
    "run",
    "start",
    "stats",
    "stop",
    "system events",
    "system info",
    "tag",
    "top",
    "unpause",
    "version",
    "volume create",
    "volume inspect",
    "volume ls",
    "volume prune",
    "volume rm",
    "wait",
];

/// Flags of Docker's that are deliberately absent.
const ABSENT: &[(&str, &str)] = &[
    // Experimental.
    ("images", "--tree"),
    ("image ls", "--tree"),
    // Swarm.
    ("volume create", "--availability"),
    ("volume create", "--group"),
    ("volume create", "--limit-bytes"),
    ("volume create", "--required-bytes"),
    ("volume create", "--scope"),
    ("volume create", "--secret"),
    ("volume create", "--sharing"),
    ("volume create", "--topology-preferred"),
    ("volume create", "--topology-required"),
    ("volume create", "--type"),
    ("volume ls", "--cluster"),
    // Without effect since content trust has gone; taken, and left out of help.
    ("pull", "--disable-content-trust"),
    ("image pull", "--disable-content-trust"),
    ("run", "--disable-content-trust"),
    ("create", "--disable-content-trust"),
    ("container run", "--disable-content-trust"),
    ("container create", "--disable-content-trust"),
    // The same.
    ("run", "--kernel-memory"),
    ("create", "--kernel-memory"),
    ("container run", "--kernel-memory"),
    ("container create", "--kernel-memory"),
];

/// The flags in a help text: letter and name.
fn flags(help: &str) -> BTreeSet<String> {
    let lines = help.lines().filter(|line| line.trim_start().starts_with('-'));
    lines
        .map(|line| {
            let words = line.split_whitespace().take_while(|word| word.starts_with('-'));
            let words = words.filter(|word| *word != "-1");
            words.collect::<Vec<_>>().join(" ")
        })
        .collect()
}

#[test]
fn every_command_has_docker_s_flags_and_usage() {
    let (docker, gantry) = (docker(), gantry());
    let mut wrong = Vec::new();
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let theirs = call(&docker, words::NOWHERE, &arguments);
        let ours = call(&gantry, words::NOWHERE, &arguments);
        if ours.code != 0 || ours.stdout.lines().next() != theirs.stdout.lines().next() {
            let usage = theirs.stdout.lines().next().unwrap_or_default();
            wrong.push(format!("{command}: {usage:?} against {:?}", ours.stdout.lines().next()));
        }
        let known = flags(&ours.stdout);
        let absent = |flag: &&String| {
            let long = flag.rsplit(' ').next().unwrap_or_default();
            long == "--help" || ABSENT.contains(&(command, long))
        };
        let theirs = flags(&theirs.stdout);
        let missing: Vec<_> = theirs
            .iter()
            .filter(|f| !f.is_empty() && !absent(f))
            .filter(|f| !known.contains(*f))
            .collect();
        if !missing.is_empty() {
            wrong.push(format!("{command}: {missing:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_is_listed_with_its_help() {
    let help = call(&gantry(), words::NOWHERE, &["--help"]).stdout;
    for word in ["Common Commands:", "Management Commands:", "Global Options:", "  run ", "  rmi "]
    {
        assert!(help.contains(word), "{word} in {help}");
    }
}
