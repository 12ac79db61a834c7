//! The runtime's own tests on a pure cgroup v2.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::Command;
use tests_harness::output_of;
use tests_vm::Machine;

/// There is neither iproute2 nor newuidmap in the machine; before Linux 6.2 whoever enters a cpuset
/// loses the CPUs that it had chosen; before 6.3 a tmpfs cannot be id-mapped. Dying at each step takes
/// long in an emulation.
const SKIPPED: &str = "--skip a_network_device_moves_in --skip cpus_that_are_asked_for \
                       --skip an_id_mapped_mount_shows --skip subordinate_ids_are_mapped \
                       --skip deaths::";

/// The runtime's test program and the runtime that it was built with.
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

#[test]
fn the_runtimes_own_tests_pass() {
    let (tests, runtime) = runtime_tests();
    let (folder, runtime_path) = (runtime.parent().expect("a folder"), runtime.display());
    let script = format!(
        "mkdir -p {} && ln -s /payload/runtime {runtime_path}
         export TMPDIR=/var/tmp
         /payload/tests --color never --test-threads 1 {SKIPPED}",
        folder.display(),
    );
    let printed = Machine::bare().with("tests", &tests).with("runtime", &runtime).run(&script);
    assert!(printed.contains("test result: ok"), "{printed}");
}
