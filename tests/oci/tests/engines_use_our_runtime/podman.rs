//! podman with `--runtime`.

use crate::{ENDS_WHEN_ASKED, IMAGE, ends_with};
use std::time::Duration;
use tests_harness::terminal::Terminal;
use tests_harness::{Podman, wait};
use tests_oci::bundle::runtime;

fn start() -> Podman {
    Podman::new(&runtime(), IMAGE)
}

/// Runs a container in the background.
fn run(podman: &Podman, name: &str, options: &[&str], command: &[&str]) {
    let all = ["run", "-d", "--network", "none", "--name", name];
    let _ = podman.ok(&[&all, options, &[IMAGE], command].concat());
}

#[test]
fn podman_runs_executes_and_tells_how_programs_end() {
    let podman = start();
    let once = |command: &[&str]| {
        podman.command(&[&["run", "--rm", "--network", "none", IMAGE], command].concat())
    };
    let said = ends_with(0, once(&["echo", "hello"]));
    assert!(said.contains("hello"), "{said}");
    let _ = ends_with(5, once(&["sh", "-c", "exit 5"]));
    let _ = ends_with(127, once(&["nosuch"]));
    let _ = ends_with(126, once(&["/etc/passwd"]));
    run(&podman, "long", &[], &["sleep", "1000"]);
    assert_eq!(podman.ok(&["exec", "long", "echo", "inside"]), "inside");
    let _ = ends_with(3, podman.command(&["exec", "long", "sh", "-c", "exit 3"]));
    let _ = ends_with(127, podman.command(&["exec", "long", "nosuch"]));
    assert!(podman.ok(&["top", "long"]).contains("sleep 1000"));
    let _ = podman.ok(&["rm", "-f", "-t", "0", "long"]);
}

#[test]
fn podman_pauses_updates_and_measures() {
    let podman = start();
    run(&podman, "long", &["-m", "64m"], &["sleep", "1000"]);
    let status = || podman.ok(&["inspect", "-f", "{{.State.Status}}", "long"]);
    let _ = podman.ok(&["pause", "long"]);
    assert_eq!(status(), "paused");
    let _ = podman.ok(&["unpause", "long"]);
    assert_eq!(status(), "running");

    let _ = podman.ok(&["update", "--memory", "128m", "--cpus", "0.5", "long"]);
    for (file, value) in [
        ("memory/memory.limit_in_bytes", "134217728"),
        ("cpu/cpu.cfs_quota_us", "50000"),
        ("pids/pids.max", "2048"),
    ] {
        let path = format!("/sys/fs/cgroup/{file}");
        assert_eq!(podman.ok(&["exec", "long", "cat", &path]), value, "{file}");
    }
    let format = "{{.MemUsage}} {{.PIDS}}";
    let stats = podman.ok(&["stats", "--no-stream", "--format", format, "long"]);
    // It tells the limit that the container was made with.
    assert!(stats.ends_with("MB 1"), "{stats}");
    let _ = podman.ok(&["rm", "-f", "-t", "0", "long"]);
}

#[test]
fn podman_checks_health_and_stops() {
    let podman = start();
    let check = ["--health-cmd", "test -e /tmp/good", "--health-interval", "disable"];
    run(&podman, "sick", &check, &["sleep", "1000"]);
    let _ = ends_with(1, podman.command(&["healthcheck", "run", "sick"]));
    let _ = podman.ok(&["exec", "sick", "touch", "/tmp/good"]);
    let _ = podman.ok(&["healthcheck", "run", "sick"]);
    let code = |name: &str| podman.ok(&["inspect", "-f", "{{.State.ExitCode}}", name]);
    let _ = podman.ok(&["stop", "-t", "0", "sick"]);
    assert_eq!(code("sick"), "137");

    run(&podman, "polite", &[], &["sh", "-c", ENDS_WHEN_ASKED]);
    wait::until("the trap", Duration::from_secs(60), || match podman.ok(&["logs", "polite"]) {
        said if said == "ready" => Ok(()),
        said => Err(said),
    });
    let _ = podman.ok(&["stop", "-t", "60", "polite"]);
    assert_eq!(code("polite"), "7");
    let _ = podman.ok(&["start", "polite"]);
    let _ = podman.ok(&["kill", "-s", "KILL", "polite"]);
    assert_eq!(podman.ok(&["wait", "polite"]), "137");
    let _ = podman.ok(&["rm", "sick", "polite"]);
}

#[test]
fn podman_gives_a_terminal_that_follows_its_size() {
    let podman = start();
    let run = ["run", "--rm", "-it", "--network", "none", "--name", "tty", IMAGE, "sh"];
    let terminal = Terminal::run(&podman.command(&run), 75, 21);
    terminal.expect("#");
    terminal.line("stty size");
    terminal.expect("21 75");
    let inner = Terminal::run(&podman.command(&["exec", "-it", "tty", "sh"]), 66, 19);
    inner.expect("#");
    inner.line("stty size");
    inner.expect("19 66");
    inner.resize(64, 18);
    inner.line("until [ \"$(stty size)\" = '18 64' ]; do :; done; exit 6");
    inner.expect("status 6");
    terminal.resize(80, 24);
    terminal.line("until [ \"$(stty size)\" = '24 80' ]; do :; done; exit 4");
    terminal.expect("status 4");
}
