//! `context …` beside Docker's client, each at a home of its own.

#![forbid(unsafe_code)]

use std::path::Path;
use tests_cli::{Outcome, call_at, docker, gantry, major_version};

/// Calls in order; those with a `!` before them are made with `DOCKER_HOST` set, those with a `@`
/// with `DOCKER_CONTEXT`.
const CALLS: &str = "\
context show
context ls
context inspect
context create far --description there --docker host=tcp://1.2.3.4:5
context create far
context create near
context create copy --from far
context create also --docker from=far
context create x
context create default
context create bad/name
context create host --docker host=ssh://u@h --description
context create key --docker foo=x
context create key --docker ca=/nowhere,host=tcp://a:1
context create both --from far --docker host=tcp://a:1
context ls
context ls -q
context ls --format json
context ls --format {{.Name}}|{{.Current}}|{{.DockerEndpoint}}|{{.Description}}
context use far
context show
context ls
context inspect
context inspect far near
context inspect -f {{.Name}}={{.Endpoints.docker.Host}} far
context inspect nope
context use nope
context update far --docker host=tcp://5.6.7.8:9,skip-tls-verify=true
context update far --description elsewhere
context update nope --description elsewhere
context inspect far
context rm far copy nope default
!context show
!context ls
!context use near
@context show
@context ls
@ps
-c near context show
-c nope context ls
-c nope ps
context use default
context show
context rm -f far near nope
context ls
";

/// What is each client's own, taken out.
fn settled(outcome: Outcome, home: &Path) -> Outcome {
    let home = home.display().to_string();
    let words = |text: String| {
        let text = text.replace(&home, "HOME");
        let text = text.replace("unix:///run/gantry/docker.sock", "OWN-SOCKET");
        let text = text.replace("unix:///var/run/docker.sock", "OWN-SOCKET");
        // Two ways to write the same JSON.
        let text = text.replace("\\u003c", "<").replace("\\u003e", ">");
        // The width of a column follows.
        let lines = text.lines().map(|line| {
            let line = line.replace("HOME", "/HOME").replace("//HOME", "/HOME");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    Outcome { code: outcome.code, stdout: words(outcome.stdout), stderr: words(outcome.stderr) }
}

#[test]
fn contexts_are_kept_and_told_as_docker_does() {
    let (docker, gantry) = (docker(), gantry());
    let [their_home, our_home] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut wrong = Vec::new();
    for line in CALLS.lines() {
        let (variables, words): (&[(&str, &str)], _) = match line.as_bytes()[0] {
            b'!' => (&[("DOCKER_HOST", "tcp://9.9.9.9:9")], &line[1..]),
            b'@' => (&[("DOCKER_CONTEXT", "nope")], &line[1..]),
            _ => (&[], line),
        };
        let words: Vec<&str> = words.split(' ').collect();
        let theirs = call_at(&docker, their_home.path(), variables, &words);
        let ours = call_at(&gantry, our_home.path(), variables, &words);
        let theirs = settled(theirs, their_home.path());
        let ours = settled(ours, our_home.path());
        let same =
            if major_version(&docker) >= 28 { theirs == ours } else { theirs.code == ours.code };
        if !same {
            wrong.push(format!("{line}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_context_of_docker_s_is_used_by_ours_and_the_other_way_round() {
    let home = tempfile::tempdir().unwrap();
    let call = |program: &Path, words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        call_at(program, home.path(), &[], &words)
    };
    let (docker, gantry) = (docker(), gantry());
    assert_eq!(call(&docker, "context create theirs --docker host=unix:///nowhere/t").code, 0);
    assert_eq!(call(&gantry, "context create ours --docker host=unix:///nowhere/o").code, 0);
    for (program, name, host) in
        [(&gantry, "theirs", "/nowhere/t"), (&docker, "ours", "/nowhere/o")]
    {
        assert_eq!(call(program, &format!("context use {name}")).code, 0);
        for client in [&docker, &gantry] {
            let outcome = call(client, "ps");
            assert!(outcome.stderr.contains(&format!("unix://{host}.")), "{outcome:?}");
        }
    }
}
