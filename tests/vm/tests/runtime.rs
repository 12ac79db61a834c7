//! The runtime's own tests on a pure cgroup v2.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::Command;
use tests_harness::output_of;
use tests_vm::Machine;

/// There are no iproute2 and no ps in the machine; before Linux 6.2 whoever enters a cpuset loses the CPUs that it
/// had chosen; before 6.3 a tmpfs cannot be id-mapped.
const SKIPPED: &str = "--skip a_network_device_moves_in --skip cpus_that_are_asked_for \
                       --skip an_id_mapped_mount_shows --skip ps_takes";
/// They take as long as all others, and have a machine of their own.
const DEATHS: &str = "deaths::";

/// The runtime's test program, and where it finds the runtime.
fn runtime_tests() -> (PathBuf, PathBuf) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--locked", "--no-run", "--quiet", "--message-format=json"]);
    let messages = output_of(cargo.args(["--package", "runtime-main", "--test", "containers"]));
    let messages: Vec<serde_json::Value> =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let program = |kind: &str, name: &str| {
        let is_it = |message: &&serde_json::Value| {
            message["target"]["kind"][0] == kind && message["target"]["name"] == name
        };
        let built = messages.iter().filter(is_it).find_map(|m| m["executable"].as_str());
        PathBuf::from(built.unwrap_or_else(|| panic!("cargo built no {kind} {name}")))
    };
    (program("test", "containers"), program("bin", "gantry-runtime"))
}

/// Runs them on the runtime of `cargo xtask build`: in an emulation one without optimisation takes
/// three times as long.
fn pass(selection: &str) {
    let (tests, runtime) = runtime_tests();
    let (folder, runtime) = (runtime.parent().expect("a folder"), runtime.display());
    let script = format!(
        "mkdir -p {} && ln -s /payload/gantry/gantry-runtime {runtime}
         export TMPDIR=/var/tmp
         /payload/tests --color never --test-threads 2 {selection}",
        folder.display(),
    );
    let machine = Machine::bare().with_programs().with_criu().with("tests", &tests);
    let printed = machine.run(&script);
    assert!(printed.contains("test result: ok"), "{printed}");
}

#[test]
fn the_runtimes_own_tests_pass() {
    pass(&format!("{SKIPPED} --skip {DEATHS}"));
}

#[test]
fn anybody_may_die_at_each_step_of_the_hand_shake() {
    pass(DEATHS);
}

#[test]
fn anybody_may_die_at_each_step_of_a_checkpoint() {
    pass("--ignored checkpoint");
}

#[test]
fn anybody_may_die_at_each_step_of_a_restoration() {
    pass("--ignored restore");
}
