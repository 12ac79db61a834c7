//! Each program is killed at each step of `run`, `exec`, `stop` and `rm`, the runtime and a container's
//! first process at theirs, too; afterwards the listing is true, everything can be removed, and nothing
//! is left behind.

#![forbid(unsafe_code)]

use base_faults::{Operation, STEPS, Step, step};
use std::time::Duration;
use tests_faults::Stage;
use tests_harness::wait;

#[test]
fn every_program_may_die_at_every_step() {
    let mut stage = Stage::new();
    let bystander =
        stage.daemon.gantry_ok(&["run", "-d", "--name", "bystander", "busybox", "sleep", "100000"]);
    let bystander_pid = pid(&stage, "bystander");
    let mut unreached = Vec::new();
    for step in STEPS.iter().filter(|step| !is_elsewhere(step)) {
        eprintln!("step {}", step.name);
        if !makes_it(step) {
            let _ = stage
                .daemon
                .gantry_ok(&["run", "-d", "--name", "victim", "busybox", "sleep", "100000"]);
        }
        if step.operation == Operation::Rm {
            let _ = stage.daemon.gantry_ok(&["kill", "victim"]);
            let _ = stage.daemon.gantry_ok(&["wait", "victim"]);
        }
        stage.arm(step);
        match step.operation {
            _ if makes_it(step) => stage.attempt(&["run", "--name", "victim", "busybox", "true"]),
            Operation::Exec => stage.attempt(&["exec", "victim", "true"]),
            Operation::Rm => stage.attempt(&["rm", "victim"]),
            _ => stage.attempt(&["stop", "-t", "0", "victim"]),
        }
        if stage.reached(step) {
            stage.recover(step);
        } else {
            unreached.push(step.name);
        }
        assert_eq!(
            pid(&stage, "bystander"),
            bystander_pid,
            "{}: a bystander was touched",
            step.name
        );
        listing_is_true(&stage, step.name);
        wait::until("the victim to be gone", Duration::from_secs(60), || {
            let _ = stage.daemon.gantry(&["rm", "-f", "victim"]);
            let listed = stage.daemon.gantry_ok(&["ps", "-aq", "--no-trunc"]);
            if listed.trim() == bystander.trim() {
                Ok(())
            } else {
                Err(format!("{}: {listed}", step.name))
            }
        });
    }
    assert!(unreached.is_empty(), "steps that nothing reached: {unreached:#?}");
}

/// Steps that containers of the daemon do not pass: they have neither hooks that run in the runtime
/// nor pid files, the shim itself hears that a program runs, `run` is a command line's, and only on
/// cgroup v2 is there a record before init.
/// runtime/main's own tests pass them, and kill both sides of the hand-shake at each other, too.
const NOT_BELOW_A_DAEMON: [&Step; 9] = [
    step("runtime.create.record-written"),
    step("runtime.create.hooks-run"),
    step("runtime.create.told-hooks"),
    step("runtime.create.pid-file-written"),
    step("runtime.start.executed"),
    step("init.run.told-ready"),
    step("runtime.run.started"),
    step("runtime.run.ended"),
    step("runtime.exec.pid-file-written"),
];

fn is_elsewhere(step: &Step) -> bool {
    // Those of a pull are passed by supervisor/registry's own tests, with a registry of theirs.
    // Checkpoints are not the daemon's yet; runtime/main's own tests pass them.
    matches!(step.operation, Operation::Pull | Operation::Checkpoint | Operation::Restore)
        || NOT_BELOW_A_DAEMON.iter().any(|known| known.name == step.name)
}

/// Whether the step is on the way of the container's making.
fn makes_it(step: &Step) -> bool {
    matches!(step.operation, Operation::Run | Operation::Create | Operation::Start)
}

fn pid(stage: &Stage, name: &str) -> String {
    stage.daemon.gantry_ok(&["inspect", "-f", "{{.State.Pid}} {{.State.Running}}", name])
}

/// A container that is listed as running has a living process, and no other has one.
fn listing_is_true(stage: &Stage, step: &str) {
    wait::until(&format!("{step}: a true listing"), Duration::from_secs(60), || {
        let ids = stage.daemon.gantry_ok(&["ps", "-aq"]);
        for id in ids.split_whitespace() {
            let output =
                stage.daemon.gantry(&["inspect", "-f", "{{.State.Running}} {{.State.Pid}}", id]);
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let (running, pid) = state.split_once(' ').ok_or_else(|| format!("{id}: {state:?}"))?;
            let lives = pid != "0" && std::fs::read_link(format!("/proc/{pid}/exe")).is_ok();
            if (running == "true") != lives {
                return Err(format!("{id}: {state}"));
            }
        }
        Ok(())
    });
}
