//! Health checks, told with the real docker client: also on the original daemon, by `TEST_GANTRYD`.

#![forbid(unsafe_code)]

use std::time::Duration;
use tests_engine::{Client, Stage};
use tests_harness::wait;

/// Longer than any of the checks here needs.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts a container whose check is a shell's line that looks for files.
fn run(client: &Client<'_>, name: &str, check: &str, more: &[&str]) -> String {
    let first = ["run", "-d", "--name", name, "--health-cmd", check, "--health-interval", "300ms"];
    let last = ["busybox", "sh", "-c", "while :; do sleep 0.1; done"];
    client.ok(&[&first[..], more, &last[..]].concat())
}

fn health(client: &Client<'_>, name: &str) -> String {
    let format = "{{.State.Health.Status}} {{.State.Health.FailingStreak}}";
    client.ok(&["inspect", "-f", format, name])
}

fn until(client: &Client<'_>, name: &str, wanted: impl Fn(&str) -> bool) -> String {
    wait::until("the health that is expected", LIMIT, || {
        let found = health(client, name);
        if wanted(&found) { Ok(found) } else { Err(found) }
    })
}

/// What was told about a container, without `create`, `start` and the like.
fn told(client: &Client<'_>, name: &str) -> Vec<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let until = (now.expect("a time after 1970").as_secs() + 1).to_string();
    let filter = format!("container={name}");
    let format = "{{.Action}} {{.Actor.Attributes.exitCode}}";
    let events = ["events", "--since", "0", "--until", &until, "--filter", &filter];
    let text = client.ok(&[&events[..], &["--format", format]].concat());
    let of_health = |line: &&str| line.starts_with("health_status") || line.starts_with("exec_");
    text.lines()
        .filter(of_health)
        .map(|line| line.replace("<no value>", "").trim().into())
        .collect()
}

#[test]
fn a_container_becomes_healthy_and_unhealthy_and_tells_so() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.real_client();
    let _ = run(client, "well", "echo looked; test ! -e /bad", &["--health-retries", "2"]);
    assert!(until(client, "well", |health| health.starts_with("healthy ")).ends_with(" 0"));
    assert_eq!(client.ok(&["ps", "-q", "--filter", "health=healthy"]).lines().count(), 1);
    let status = client.ok(&["ps", "--format", "{{.Status}}"]);
    assert!(status.ends_with("(healthy)"), "{status}");
    let _ = client.ok(&["exec", "well", "touch", "/bad"]);
    let _ = until(client, "well", |health| health.starts_with("unhealthy "));
    let log = client.ok(&[
        "inspect",
        "-f",
        "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}",
        "well",
    ]);
    assert!(log.ends_with("1 looked"), "{log}");
    let told = told(client, "well");
    let find = |wanted: &str| told.iter().position(|one| one == wanted);
    let command = "/bin/sh -c echo looked; test ! -e /bad";
    let create = find(&format!("exec_create: {command}"));
    let start = find(&format!("exec_start: {command}"));
    let (end, healthy) = (find("exec_die 0"), find("health_status: healthy"));
    assert!(create.is_some() && create < start && start < end && end < healthy, "{told:?}");
    assert!(healthy < find("health_status: unhealthy"), "{told:?}");
    let _ = client.ok(&["rm", "-f", "well"]);
}

#[test]
fn no_more_than_five_results_of_at_most_4096_bytes_are_kept() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.real_client();
    let _ = run(client, "talks", "yes | head -c 9999; date +%s%N >> /times", &[]);
    wait::until("seven probes", LIMIT, || {
        let count =
            client.ok(&["exec", "talks", "sh", "-c", "wc -l < /times 2>/dev/null || echo 0"]);
        if count.parse::<u32>().is_ok_and(|count| count >= 7) { Ok(()) } else { Err(count) }
    });
    let format = "{{range .State.Health.Log}}{{len .Output}} {{end}}";
    assert_eq!(client.ok(&["inspect", "-f", format, "talks"]), ["4099"; 5].join(" "));
    let _ = client.ok(&["rm", "-f", "talks"]);
}

#[test]
fn failures_in_the_start_period_do_not_count_and_probes_are_closer_there() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.real_client();
    let starting = [
        "--health-start-period",
        "60s",
        "--health-start-interval",
        "200ms",
        "--health-retries",
        "1",
        "--health-interval",
        "1h",
    ];
    let _ = run(client, "slow", "echo x >> /count; test -e /ready", &starting);
    wait::until("four probes", LIMIT, || {
        let count =
            client.ok(&["exec", "slow", "sh", "-c", "wc -l < /count 2>/dev/null || echo 0"]);
        if count.parse::<u32>().is_ok_and(|count| count >= 4) { Ok(()) } else { Err(count) }
    });
    assert_eq!(health(client, "slow"), "starting 0");
    let status = client.ok(&["ps", "--format", "{{.Status}}"]);
    assert!(status.ends_with("(health: starting)"), "{status}");
    let _ = client.ok(&["exec", "slow", "touch", "/ready"]);
    let _ = until(client, "slow", |health| health == "healthy 0");
    let _ = client.ok(&["rm", "-f", "slow"]);
}

#[test]
fn a_check_that_takes_too_long_or_cannot_run_has_failed() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.real_client();
    let _ = run(
        client,
        "stuck",
        "echo begun; exec sleep 1000",
        &["--health-timeout", "3s", "--health-retries", "1"],
    );
    let _ = until(client, "stuck", |health| health.starts_with("unhealthy "));
    let format = "{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}";
    assert_eq!(
        client.ok(&["inspect", "-f", format, "stuck"]),
        "-1 Health check exceeded timeout (3s): begun"
    );
    // What took too long is not left behind: at most the probe of the moment runs.
    let count = "ps -o args | grep -c '^sleep 1000' || true";
    let running = client.ok(&["exec", "stuck", "sh", "-c", count]);
    assert!(running.parse::<u32>().is_ok_and(|count| count <= 1), "{running}");
    let _ = client.ok(&["rm", "-f", "stuck"]);
}

#[test]
fn a_frozen_or_ended_container_is_not_probed() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.real_client();
    let _ = run(client, "frozen", "date +%s%N > /last", &[]);
    let _ = until(client, "frozen", |health| health == "healthy 0");
    let _ = client.ok(&["pause", "frozen"]);
    let last = "{{with $n := len .State.Health.Log}}{{(index $.State.Health.Log 0).Start}}{{end}}";
    assert!(health(client, "frozen").starts_with("unhealthy"));
    let before = client.ok(&["inspect", "-f", last, "frozen"]);
    let _ = client.ok(&["unpause", "frozen"]);
    let _ = until(client, "frozen", |health| health == "healthy 0");
    wait::until("later probes", LIMIT, || {
        let now = client.ok(&["inspect", "-f", last, "frozen"]);
        if now == before { Err(now) } else { Ok(()) }
    });
    let _ = client.ok(&["stop", "-t", "0", "frozen"]);
    assert!(health(client, "frozen").starts_with("unhealthy"));
    let _ = client.ok(&["start", "frozen"]);
    let _ = until(client, "frozen", |health| health == "healthy 0");
    let _ = client.ok(&["rm", "-f", "frozen"]);
}

#[test]
fn none_turns_a_check_off() {
    let stage = Stage::with(&["busybox"]);
    let client = &stage.real_client();
    let _ =
        client.ok(&["run", "-d", "--name", "off", "--no-healthcheck", "busybox", "sleep", "99"]);
    assert_eq!(client.ok(&["inspect", "-f", "{{json .State.Health}}", "off"]), "null");
    assert_eq!(client.ok(&["ps", "-q", "--filter", "health=none"]).lines().count(), 1);
    let (_, error) = client.fails(&["ps", "--filter", "health=splendid"]);
    assert!(error.contains("splendid"), "{error}");
    let _ = client.ok(&["rm", "-f", "off"]);
}

#[test]
fn probes_go_on_after_a_new_start_of_the_daemon() {
    let mut stage = Stage::with(&["busybox"]);
    if std::env::var_os("TEST_GANTRYD").is_some() {
        return; // An original ends its containers.
    }
    let check = "test ! -e /bad";
    let _ = run(&stage.real_client(), "lasts", check, &["--health-retries", "1"]);
    let _ = until(&stage.real_client(), "lasts", |health| health == "healthy 0");
    stage.daemon.kill();
    stage.daemon.launch();
    let _ = until(&stage.real_client(), "lasts", |health| health == "healthy 0");
    let _ = stage.daemon.gantry_ok(&["exec", "lasts", "touch", "/bad"]);
    let _ = until(&stage.real_client(), "lasts", |health| health.starts_with("unhealthy "));
    let _ = stage.daemon.gantry_ok(&["rm", "-f", "lasts"]);
}
