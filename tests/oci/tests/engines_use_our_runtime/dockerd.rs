//! dockerd with `--add-runtime`.

use crate::{ENDS_WHEN_ASKED, ends_with};
use std::time::Duration;
use tests_harness::reference::archive;
use tests_harness::terminal::Terminal;
use tests_harness::{Reference, images, output_of, wait};
use tests_oci::bundle::runtime;

/// A dockerd that has our runtime, and busybox.
struct Dockerd(Reference);

impl Dockerd {
    fn start() -> Self {
        let option = format!("gantry={}", runtime().display());
        let dockerd =
            Self(Reference::dockerd(&["--add-runtime", &option, "--default-runtime", "gantry"]));
        let tar = archive(&images::busybox(), "busybox:latest", dockerd.0.scratch());
        let _ = dockerd.ok(&["load", "-i", &tar.display().to_string()]);
        assert_eq!(dockerd.ok(&["info", "-f", "{{.DefaultRuntime}}"]), "gantry");
        dockerd
    }

    fn ok(&self, arguments: &[&str]) -> String {
        output_of(&mut self.0.docker(arguments)).trim_end().to_owned()
    }

    /// What a program prints inside, which dockerd loses where that ends before it has opened the
    /// stock shim's fifos.
    fn says(&self, container: &str, command: &[&str], wanted: &str) {
        wait::until(&format!("{command:?} to print {wanted}"), Duration::from_secs(60), || {
            let said = self.ok(&[&["exec", container], command].concat());
            if said == wanted { Ok(()) } else { Err(said) }
        });
    }

    fn is(&self, container: &str, field: &str, value: &str) {
        let format = format!("{{{{{field}}}}}");
        let what = format!("{field} to be {value}");
        wait::until(&what, Duration::from_secs(60), || {
            let found = self.ok(&["inspect", "-f", &format, container]);
            if found == value { Ok(()) } else { Err(found) }
        });
    }
}

#[test]
fn dockerd_runs_executes_and_tells_how_programs_end() {
    let dockerd = Dockerd::start();
    assert_eq!(dockerd.ok(&["run", "--rm", "busybox", "echo", "hello"]), "hello");
    let _ = dockerd.ok(&["run", "-d", "--name", "long", "busybox", "sleep", "1000"]);
    dockerd.says("long", &["echo", "inside"], "inside");
    let _ = ends_with(3, dockerd.0.docker(&["exec", "long", "sh", "-c", "exit 3"]));
    let _ = ends_with(126, dockerd.0.docker(&["exec", "long", "/etc/passwd"]));
    assert!(dockerd.ok(&["top", "long"]).contains("sleep 1000"));
    let _ = dockerd.ok(&["rm", "-f", "long"]);
    let _ = ends_with(5, dockerd.0.docker(&["run", "--rm", "busybox", "sh", "-c", "exit 5"]));
    let _ = ends_with(127, dockerd.0.docker(&["run", "--rm", "busybox", "nosuch"]));
    let _ = ends_with(126, dockerd.0.docker(&["run", "--rm", "busybox", "/etc/passwd"]));
}

#[test]
fn dockerd_pauses_updates_and_measures() {
    let dockerd = Dockerd::start();
    let run = ["run", "-d", "--name", "long", "-m", "64m", "busybox", "sleep", "1000"];
    let _ = dockerd.ok(&run);
    let _ = dockerd.ok(&["pause", "long"]);
    dockerd.is("long", ".State.Status", "paused");
    let said = ends_with(1, dockerd.0.docker(&["exec", "long", "true"]));
    assert!(said.contains("is paused"), "{said}");
    let _ = dockerd.ok(&["unpause", "long"]);
    dockerd.is("long", ".State.Status", "running");

    let limits =
        ["--memory", "128m", "--memory-swap", "256m", "--cpus", "0.5", "--cpuset-cpus", "0"];
    let _ = dockerd.ok(&[&["update", "--pids-limit", "33"], limits.as_slice(), &["long"]].concat());
    for (file, value) in [
        ("memory/memory.limit_in_bytes", "134217728"),
        ("pids/pids.max", "33"),
        ("cpu/cpu.cfs_quota_us", "50000"),
        ("cpu/cpu.cfs_period_us", "100000"),
        ("cpuset/cpuset.cpus", "0"),
    ] {
        let path = format!("/sys/fs/cgroup/{file}");
        dockerd.says("long", &["cat", &path], value);
    }
    let format = "{{.MemUsage}} {{.PIDs}}";
    // docker waits two seconds for the two samples, and then prints none.
    wait::until("its use", Duration::from_secs(60), || {
        let stats = dockerd.ok(&["stats", "--no-stream", "--format", format, "long"]);
        if stats.ends_with("/ 128MiB 1") { Ok(()) } else { Err(stats) }
    });
    let _ = dockerd.ok(&["rm", "-f", "long"]);
}

#[test]
fn dockerd_checks_health_and_stops() {
    let dockerd = Dockerd::start();
    let check = [
        "--health-cmd",
        "test -e /tmp/good",
        "--health-interval",
        "100ms",
        "--health-retries",
        "1",
    ];
    let run = ["run", "-d", "--name", "sick"];
    let _ = dockerd.ok(&[&run, check.as_slice(), &["busybox", "sleep", "1000"]].concat());
    dockerd.is("sick", ".State.Health.Status", "unhealthy");
    let _ = dockerd.ok(&["exec", "sick", "touch", "/tmp/good"]);
    dockerd.is("sick", ".State.Health.Status", "healthy");
    let _ = dockerd.ok(&["stop", "-t", "0", "sick"]);
    dockerd.is("sick", ".State.ExitCode", "137");

    let _ = dockerd.ok(&["run", "-d", "--name", "polite", "busybox", "sh", "-c", ENDS_WHEN_ASKED]);
    wait::until("the trap", Duration::from_secs(60), || match dockerd.ok(&["logs", "polite"]) {
        said if said == "ready" => Ok(()),
        said => Err(said),
    });
    let _ = dockerd.ok(&["stop", "-t", "60", "polite"]);
    dockerd.is("polite", ".State.ExitCode", "7");
    let _ = dockerd.ok(&["start", "polite"]);
    dockerd.is("polite", ".State.Status", "running");
    let _ = dockerd.ok(&["rm", "-f", "sick", "polite"]);
}

#[test]
fn dockerd_gives_a_terminal_that_follows_its_size() {
    let dockerd = Dockerd::start();
    let run = ["run", "--rm", "-it", "--name", "tty", "busybox", "sh"];
    let terminal = Terminal::run(&dockerd.0.docker(&run), 75, 21);
    terminal.expect("#");
    // The client tells the size once the program runs.
    terminal.line("until [ \"$(stty size)\" = '21 75' ]; do sleep 0.1; done; echo si''zed");
    terminal.expect("sized");
    let inner = Terminal::run(&dockerd.0.docker(&["exec", "-it", "tty", "sh"]), 66, 19);
    inner.expect("#");
    inner.line("until [ \"$(stty size)\" = '19 66' ]; do sleep 0.1; done; echo si''zed");
    inner.expect("sized");
    inner.resize(64, 18);
    inner.line("until [ \"$(stty size)\" = '18 64' ]; do :; done; exit 6");
    inner.expect("status 6");
    terminal.resize(80, 24);
    terminal.line("until [ \"$(stty size)\" = '24 80' ]; do :; done; exit 4");
    terminal.expect("status 4");
}
