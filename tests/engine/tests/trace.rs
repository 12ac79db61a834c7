//! One trace id crosses all five programs.

#![forbid(unsafe_code)]

use std::time::Duration;
use tests_engine::Stage;
use tests_harness::wait;

#[test]
fn the_clients_trace_id_is_in_the_logs_of_all_five_programs() {
    let stage = Stage::with(&["busybox"]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let output = stage
        .daemon
        .gantry_command(&["--debug", "run", "--rm", "busybox", "true"])
        .env("TRACEPARENT", format!("00-{trace}-b7ad6b7169203331-01"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", tests_harness::describe(&output));
    let client = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(client.contains(trace), "client: {client}");
    wait::until("the trace in the other programs' logs", Duration::from_secs(60), || {
        let log = format!("{}{}", stage.daemon.log(), stage.daemon.supervisor_log());
        let missing: Vec<&str> = ["daemon", "supervisor", "shim", "runtime"]
            .into_iter()
            .filter(|program| !log.lines().any(|line| line.contains(trace) && names(line, program)))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    });
}

/// Whether a log line says that this program wrote it.
fn names(line: &str, program: &str) -> bool {
    line.contains(&format!("program={program}")) || line.contains(&format!("program=\"{program}\""))
}
