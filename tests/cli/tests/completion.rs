//! The completion script in a real shell. zsh's and fish's were tried by hand.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use tests_cli::{call, gantry, words};

/// What bash offers for an unfinished line.
fn offered(script: &str, line: &str) -> Vec<String> {
    let shell = format!(
        "{script}\ncompopt() {{ echo \"compopt $*\"; }}\n\
         COMP_LINE=$1 COMP_POINT=${{#1}}\n_docker_complete\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    // The script calls the program that stands first in the line.
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(gantry(), folder.path().join("docker")).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let output = Command::new("bash")
        .args(["--norc", "-c", &shell, "bash", line])
        .env("PATH", path)
        .env("DOCKER_HOST", words::NOWHERE)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_is_offered_commands_flags_values_and_files() {
    let script = call(&gantry(), words::NOWHERE, &["completion", "bash"]).stdout;
    for (line, wanted) in [
        ("docker rest", &["restart"][..]),
        ("docker container ren", &["rename"]),
        ("docker run --sig", &["--sig-proxy"]),
        ("docker run --restart ", &["always", "no", "on-failure", "unless-stopped"]),
        // bash takes what follows the sign for a word of its own.
        ("docker run --restart=al", &["always"]),
        ("docker -l wa", &["warn"]),
        ("docker run --env-file ", &["compopt -o default", ""]),
        ("docker run image --pull ", &[""]),
        ("docker nope", &[""]),
    ] {
        assert_eq!(offered(&script, line), wanted, "{line:?}");
    }
}

#[test]
fn descriptions_can_be_left_out() {
    let host = words::NOWHERE;
    let answer = |command| call(&gantry(), host, &[command, "run", "--sig"]).stdout;
    assert_eq!(answer("__completeNoDesc"), "--sig-proxy\n:4\n");
    assert!(answer("__complete").starts_with("--sig-proxy\t"));
    for shell in ["bash", "fish", "zsh"] {
        let script = |flags: &[&str]| {
            call(&gantry(), host, &[&["completion", shell], flags].concat()).stdout
        };
        assert!(script(&[]).contains(" __complete "), "{shell}");
        assert!(script(&["--no-descriptions"]).contains(" __completeNoDesc "), "{shell}");
    }
}
