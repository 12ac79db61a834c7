//! What a container is given equals what the real dockerd gives (`probe/README.md`).

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests_engine::Stage;
use tests_harness::reference::archive;
use tests_harness::{Reference, describe, images, output_of};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("probe")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("read a file of the probe")
}

/// The probe's output in a fresh container.
fn probe(mut client: Command, options: &[&str]) -> String {
    let mut child = client
        .args(["run", "--rm", "-i"])
        .args(options)
        .args(["debian", "sh", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the client");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(read("probe.sh").as_bytes())
        .expect("feed the probe");
    let output = child.wait_with_output().expect("wait for the probe");
    assert!(output.status.success(), "{}", describe(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// The variants: a section heading each, and the options of `run`.
const VARIANTS: [(&str, &[&str]); 3] = [
    ("default", &[]),
    (
        "limited",
        &[
            "-m",
            "64m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "50",
            "--read-only",
            "-h",
            "box",
            "-u",
            "33:50",
            "--cap-add",
            "NET_ADMIN",
            "--cap-drop",
            "CHOWN",
            "--network",
            "none",
            "--security-opt",
            "no-new-privileges",
        ],
    ),
    ("privileged", &["--privileged"]),
];

/// Each line with its variant and section, so that lines can be compared as sets.
fn lines(text: &str) -> Vec<String> {
    let (mut variant, mut section) = ("", "");
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("#### ") {
            variant = name;
        } else if let Some(name) = line.strip_prefix("== ") {
            section = name;
        } else {
            lines.push(format!("{variant}/{section}: {line}"));
        }
    }
    lines
}

fn all_variants(client: impl Fn() -> Command) -> String {
    VARIANTS
        .iter()
        .map(|(name, options)| format!("#### {name}\n{}", probe(client(), options)))
        .collect()
}

#[test]
fn a_container_is_given_what_dockerd_gives() {
    let stage = Stage::with(&["debian"]);
    let ours = all_variants(|| stage.clients()[0].command(&[]));
    let (recorded, ours) = (lines(&read("recorded.txt")), lines(&ours));
    let theirs: BTreeSet<&String> = recorded.iter().collect();
    let mine: BTreeSet<&String> = ours.iter().collect();
    let mut found: BTreeSet<String> =
        theirs.difference(&mine).map(|line| format!("- {line}")).collect();
    found.extend(mine.difference(&theirs).map(|line| format!("+ {line}")));
    let known: BTreeSet<String> = read("differences.txt")
        .lines()
        .filter(|line| line.starts_with("- ") || line.starts_with("+ "))
        .map(str::to_owned)
        .collect();
    let new: Vec<&String> = found.difference(&known).collect();
    let gone: Vec<&String> = known.difference(&found).collect();
    assert!(new.is_empty(), "differences that nobody has argued:\n{new:#?}");
    assert!(gone.is_empty(), "no longer different, take out of differences.txt:\n{gone:#?}");
}

#[test]
#[ignore = "records the reference; wants the newest dockerd in REFERENCE_DOCKERD"]
fn record() {
    let programs =
        std::env::var("REFERENCE_DOCKERD").expect("a folder with dockerd, containerd, runc");
    let dockerd = Reference::dockerd_from(Path::new(&programs), &[]);
    let tar = archive(&images::debian(), "debian:latest", dockerd.scratch());
    let client = || {
        let mut command = Command::new("/usr/local/bin/docker");
        command.arg("-H").arg(dockerd.docker_host());
        command
    };
    let _ = output_of(client().args(["load", "-i"]).arg(tar));
    std::fs::write(folder().join("recorded.txt"), all_variants(client)).expect("write the record");
}
