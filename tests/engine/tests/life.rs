//! A container's life, with our client and the real ones.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;
use tests_engine::Stage;
use tests_harness::daemon::signal;
use tests_harness::wait;

#[test]
fn run_rm_gives_output_and_exit_code_and_leaves_nothing() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        assert_eq!(client.ok(&["run", "--rm", "busybox", "echo", "hello"]), "hello");
        let (code, error) =
            client.fails(&["run", "--rm", "busybox", "sh", "-c", "echo bad >&2; exit 7"]);
        assert_eq!((code, error.as_str()), (7, "bad\n"));
        assert_eq!(client.ok(&["ps", "-aq"]), "");
    }
}

#[test]
fn a_command_that_cannot_start_has_dockers_exit_codes() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let (code, error) = client.fails(&["run", "--rm", "busybox", "nosuch"]);
        assert_eq!(code, 127, "{error}");
        assert!(error.contains(r#"exec: "nosuch": executable file not found in $PATH"#), "{error}");
        let (code, error) = client.fails(&["run", "--rm", "busybox", "/etc/passwd"]);
        assert_eq!(code, 126, "{error}");
        assert!(error.contains("permission denied"), "{error}");
        let (code, error) = client.fails(&["run", "--rm", "no/such/image:at-all"]);
        assert_eq!(code, 125, "{error}");
    }
}

#[test]
fn standard_input_reaches_a_container_and_its_end_too() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let mut process = client
            .command(&["run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = "line\n".repeat(50_000);
        let mut input = process.stdin.take().unwrap();
        let writer = std::thread::spawn({
            let text = text.clone();
            move || input.write_all(text.as_bytes())
        });
        let output = process.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(output.stdout.len(), text.len() + 4, "{}", client.path().display());
    }
}

#[test]
fn a_detached_container_is_listed_logged_executed_in_stopped_and_removed() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let id = client.ok(&[
            "run",
            "-d",
            "--name",
            "loop",
            "-e",
            "WORD=blue",
            "busybox",
            "sh",
            "-c",
            "trap 'exit 3' TERM; echo started $WORD; while :; do sleep 0.1; done",
        ]);
        assert_eq!(id.len(), 64);
        assert_eq!(
            client.ok(&["ps", "--format", "{{.Names}} {{.Image}} {{.ID}}"]),
            format!("loop busybox {}", &id[..12])
        );
        wait::until("the first log line", Duration::from_secs(60), || {
            let logs = client.ok(&["logs", "loop"]);
            if logs == "started blue" { Ok(()) } else { Err(logs) }
        });
        assert_eq!(
            client.ok(&["exec", "loop", "sh", "-c", "echo $WORD; hostname"]),
            format!("blue\n{}", &id[..12])
        );
        let (code, _) = client.fails(&["exec", "loop", "sh", "-c", "exit 9"]);
        assert_eq!(code, 9);
        let (code, error) = client.fails(&["exec", "loop", "nosuch"]);
        assert_eq!(code, 127, "{error}");
        assert_eq!(client.ok(&["pause", "loop"]), "loop");
        assert_eq!(client.ok(&["inspect", "-f", "{{.State.Status}}", "loop"]), "paused");
        assert_eq!(client.ok(&["unpause", "loop"]), "loop");
        let (code, error) = client.fails(&["rm", "loop"]);
        assert_eq!(code, 1);
        assert!(error.contains("container is running"), "{error}");
        assert_eq!(client.ok(&["stop", "loop"]), "loop");
        assert_eq!(client.ok(&["wait", "loop"]), "3");
        assert_eq!(
            client.ok(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "loop"]),
            "exited 3"
        );
        assert_eq!(client.ok(&["start", "loop"]), "loop");
        assert_eq!(client.ok(&["restart", "-t", "1", "loop"]), "loop");
        assert_eq!(client.ok(&["kill", "loop"]), "loop");
        assert_eq!(client.ok(&["wait", "loop"]), "137");
        assert_eq!(client.ok(&["logs", "--tail", "1", "loop"]), "started blue");
        assert_eq!(client.ok(&["rm", "loop"]), "loop");
        let (_, error) = client.fails(&["inspect", "loop"]);
        assert!(error.to_lowercase().contains("no such object: loop"), "{error}");
    }
}

#[test]
fn an_execs_exit_code_is_waited_for_however_late_the_supervisor_tells_it() {
    let stage = Stage::with(&["busybox"]);
    let supervisor = stage.daemon.supervisor_pid().expect("it runs");
    for client in stage.clients() {
        let _ = client.ok(&["run", "-d", "--name", "host", "busybox", "sleep", "1000"]);
        let before = asked(&stage);
        let mut exec = client
            .command(&["exec", "-i", "host", "sh", "-c", "echo begun; read _; exit 7"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the client");
        let mut begun = [0; 6];
        exec.stdout.take().expect("a pipe").read_exact(&mut begun).expect("its first line");
        signal(supervisor, "STOP");
        exec.stdin.take().expect("a pipe").write_all(b"\n").expect("write");
        // The stream ends past the supervisor; then the client asks for the exit code.
        let is_asked = wait::whether(Duration::from_secs(60), || asked(&stage) > before);
        let answered = wait::whether(Duration::from_millis(300), || {
            exec.try_wait().expect("wait for the client").is_some()
        });
        signal(supervisor, "CONT");
        assert!(is_asked && !answered, "asked: {is_asked}, answered: {answered}");
        assert_eq!(exec.wait().expect("wait for the client").code(), Some(7));
        let _ = client.ok(&["rm", "-f", "host"]);
    }
}

/// How often clients have asked for an exec's state.
fn asked(stage: &Stage) -> usize {
    stage.daemon.log().matches("GET /exec/{}/json").count()
}

#[test]
fn a_created_container_is_started_with_its_output() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let id = client.ok(&["create", "busybox", "sh", "-c", "echo one; exit 4"]);
        let output = client.run(&["start", "-a", &id]);
        assert_eq!(output.status.code(), Some(4));
        assert_eq!(output.stdout, b"one\n");
        let _ = client.ok(&["rm", &id]);
    }
}

#[test]
fn a_taken_name_is_a_conflict_in_dockers_words() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let id = client.ok(&["create", "--name", "taken", "busybox"]);
        let (_, error) = client.fails(&["create", "--name", "taken", "busybox"]);
        let words = format!(
            "Conflict. The container name \"/taken\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
        );
        assert!(error.contains(&words), "{error}");
        let _ = client.ok(&["rm", "taken"]);
    }
}

#[test]
fn events_tell_a_life_in_dockers_order() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.clients()[0];
    let id = client.ok(&["run", "-d", "--name", "told", "busybox", "sleep", "100"]);
    let _ = client.ok(&["stop", "-t", "0", "told"]);
    let _ = client.ok(&["rm", "told"]);
    let until =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
    let told = client.ok(&[
        "events",
        "--since",
        "0",
        "--until",
        &until.to_string(),
        "--filter",
        &format!("container={id}"),
        "--format",
        "{{.Action}}",
    ]);
    let mut actions: Vec<&str> = told.lines().collect();
    // A signal is told once it was sent: what the second one did may be told before it.
    let kill = actions.iter().rposition(|action| *action == "kill").expect("two signals");
    let _ = actions.remove(kill);
    assert_eq!(actions, ["create", "start", "kill", "stop", "die", "destroy"], "{told}");
}

#[test]
fn a_restart_policy_starts_a_container_again_until_its_count_is_reached() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.clients()[0];
    let _ = client.ok(&[
        "run",
        "-d",
        "--name",
        "again",
        "--restart",
        "on-failure:2",
        "busybox",
        "false",
    ]);
    wait::until("two restarts", Duration::from_secs(60), || {
        let state = client.ok(&[
            "inspect",
            "-f",
            "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}",
            "again",
        ]);
        if state == "2 exited 1" { Ok(()) } else { Err(state) }
    });
    let _ = client.ok(&["rm", "-f", "again"]);
}

#[test]
fn logs_are_followed_counted_dated_and_cut_by_time() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let _ = client.ok(&[
            "run",
            "-d",
            "--name",
            "talk",
            "busybox",
            "sh",
            "-c",
            "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done",
        ]);
        assert_eq!(client.ok(&["logs", "-f", "talk"]), "1\n2\n3\n4\n5");
        assert_eq!(client.ok(&["logs", "--tail", "2", "talk"]), "4\n5");
        assert_eq!(client.ok(&["logs", "--since", "2100-01-01T00:00:00Z", "talk"]), "");
        let dated = client.ok(&["logs", "-t", "--tail", "1", "talk"]);
        assert!(dated.ends_with("Z 5") && dated.contains('T'), "{dated}");
        let _ = client.ok(&["rm", "-f", "talk"]);
    }
}

#[test]
fn an_image_is_listed_inspected_and_removed() {
    let stage = Stage::with(&[]);
    for client in stage.clients() {
        assert_eq!(client.ok(&["image", "ls", "-q"]), "");
        let _ = client.ok(&["pull", "busybox"]);
        assert_eq!(
            client.ok(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]),
            "busybox:latest"
        );
        let id = client.ok(&["inspect", "-f", "{{.Id}}", "busybox"]);
        assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
        let removed = client.ok(&["rmi", "busybox"]);
        assert!(
            removed.contains("Untagged: busybox:latest") && removed.contains("Deleted: sha256:"),
            "{removed}"
        );
        assert_eq!(client.ok(&["image", "ls", "-q"]), "");
    }
}
