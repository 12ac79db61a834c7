//! What a death costs: nothing but the dead program's own work.

#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;
use tests_faults::Stage;
use tests_harness::daemon::signal;
use tests_harness::{output_of, wait};

fn kill_supervisor(stage: &Stage) {
    let pid = stage.daemon.supervisor_pid().expect("the supervisor's pid file");
    signal(pid, "KILL");
}

fn inspect(stage: &Stage, format: &str, name: &str) -> String {
    stage.daemon.gantry_ok(&["inspect", "-f", format, name]).trim().to_owned()
}

fn until_inspect(stage: &Stage, format: &str, name: &str, wanted: &str) {
    wait::until(&format!("{name} to be {wanted}"), Duration::from_secs(60), || {
        let output = stage.daemon.gantry(&["inspect", "-f", format, name]);
        let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if state == wanted { Ok(()) } else { Err(state) }
    });
}

#[test]
fn a_log_written_at_full_speed_is_whole_though_daemon_and_supervisor_die_ten_times() {
    let mut stage = Stage::new();
    // Ten million bytes of numbered lines for each death: what is lost or doubled changes the hash.
    let script = "i=0; while [ $i -lt 10 ]; do seq -w 1 1250000; i=$((i+1)); done";
    let told = script.replace("seq", "until [ -e /go/$i ]; do sleep 0.01; done; seq");
    let go = stage.daemon.scratch().join("go");
    std::fs::create_dir(&go).unwrap();
    let bind = format!("{}:/go", go.display());
    let run = ["run", "-d", "--name", "writer", "-v", &bind, "busybox", "sh", "-c", &told];
    let _ = stage.daemon.gantry_ok(&run);
    for death in 0..10 {
        std::fs::write(go.join(death.to_string()), "").unwrap();
        kill_supervisor(&stage);
        stage.daemon.kill();
        stage.daemon.launch();
    }
    until_inspect(&stage, "{{.State.Status}} {{.State.ExitCode}}", "writer", "exited 0");
    let log = stage.daemon.scratch().join("log");
    let line = format!("$0 -H {} logs writer > {}", stage.daemon.host(), log.display());
    let _ = output_of(
        Command::new("sh").arg("-c").arg(line).arg(tests_harness::programs().join("gantry")),
    );
    let expected = output_of(Command::new("sh").arg("-c").arg(format!("( {script} ) | sha256sum")));
    let found =
        output_of(Command::new("sh").arg("-c").arg(format!("sha256sum < {}", log.display())));
    assert_eq!(found, expected);
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 100_000_000);
}

#[test]
fn an_exit_while_daemon_and_supervisor_are_dead_is_collected_afterwards() {
    let mut stage = Stage::new();
    let script = "while [ ! -e /go/now ]; do sleep 0.05; done; exit 42";
    let folder = stage.daemon.scratch().join("go");
    std::fs::create_dir(&folder).unwrap();
    let bind = format!("{}:/go", folder.display());
    let _ = stage
        .daemon
        .gantry_ok(&["run", "-d", "--name", "leaver", "-v", &bind, "busybox", "sh", "-c", script]);
    let pid = inspect(&stage, "{{.State.Pid}}", "leaver");
    stage.daemon.kill();
    kill_supervisor(&stage);
    std::fs::write(folder.join("now"), "").unwrap();
    wait::until("the container to end", Duration::from_secs(60), || {
        match std::fs::read_link(format!("/proc/{pid}/exe")) {
            Ok(path) => Err(path.display().to_string()),
            Err(_) => Ok(()),
        }
    });
    stage.daemon.launch();
    until_inspect(&stage, "{{.State.Status}} {{.State.ExitCode}}", "leaver", "exited 42");
}

#[test]
fn running_containers_their_ports_and_their_logs_outlive_daemon_and_supervisor() {
    let mut stage = Stage::new();
    let script = "echo first; httpd -p 80 -h /etc; while :; do sleep 0.1; done";
    let _ = stage.daemon.gantry_ok(&[
        "run", "-d", "--name", "server", "-p", "8091:80", "busybox", "sh", "-c", script,
    ]);
    let pid = inspect(&stage, "{{.State.Pid}}", "server");
    stage.daemon.kill();
    kill_supervisor(&stage);
    let fetch =
        || Command::new("busybox").args(["wget", "-qO-", "http://127.0.0.1:8091/passwd"]).output();
    wait::until("the port to answer without a daemon", Duration::from_secs(60), || {
        let output = fetch().map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(tests_harness::describe(&output)) }
    });
    stage.daemon.launch();
    assert_eq!(inspect(&stage, "{{.State.Pid}}", "server"), pid);
    assert_eq!(stage.daemon.gantry_ok(&["logs", "server"]), "first\n");
    assert_eq!(stage.daemon.gantry_ok(&["exec", "server", "echo", "still here"]), "still here\n");
    let (_, taken) = failing(&stage, &["run", "--rm", "-p", "8091:80", "busybox", "true"]);
    assert!(taken.contains("port is already allocated"), "{taken}");
    let _ = stage.daemon.gantry_ok(&["stop", "-t", "1", "server"]);
    assert_eq!(inspect(&stage, "{{.State.Status}} {{.State.ExitCode}}", "server"), "exited 137");
}

#[test]
fn killing_a_shim_ends_its_container_which_is_reported_and_cleaned_up() {
    let stage = Stage::new();
    let _ =
        stage.daemon.gantry_ok(&["run", "-d", "--name", "orphan", "busybox", "sleep", "100000"]);
    let id = inspect(&stage, "{{.Id}}", "orphan");
    let pid = inspect(&stage, "{{.State.Pid}}", "orphan");
    let bundle = stage.daemon.exec_root().join("supervisor/tasks/moby").join(&id);
    let shim = std::fs::read_to_string(bundle.join("shim.pid")).unwrap();
    signal(shim.trim().parse().unwrap(), "KILL");
    until_inspect(&stage, "{{.State.Status}} {{.State.ExitCode}}", "orphan", "exited 137");
    assert!(
        std::fs::read_link(format!("/proc/{pid}/exe")).is_err(),
        "the container's process lives"
    );
    let _ = stage.daemon.gantry_ok(&["start", "orphan"]);
    let _ = stage.daemon.gantry_ok(&["rm", "-f", "orphan"]);
}

fn failing(stage: &Stage, arguments: &[&str]) -> (i32, String) {
    let output = stage.daemon.gantry(arguments);
    assert!(!output.status.success(), "{}", tests_harness::describe(&output));
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}
