//! The five programs on a pure cgroup v2, from a pull to a removal.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;
use tests_harness::{Registry, images, output_of};
use tests_vm::Machine;

const ENGINE: &str = include_str!("../guest/engine.sh");
const REGISTRY: &str = "version: 0.1
log:
  level: error
storage:
  filesystem:
    rootdirectory: /payload/registry
http:
  addr: 127.0.0.1:5000
";

fn the_engine_lives(machine: Machine) {
    let registry = Registry::start();
    registry.push(&images::busybox(), "library/busybox:latest");
    let folder = tempfile::tempdir().expect("temporary folder");
    let configuration = folder.path().join("registry.yml");
    std::fs::write(&configuration, REGISTRY).expect("write registry.yml");
    let program = output_of(Command::new("which").arg("docker-registry"));
    let printed = machine
        .with_programs()
        .with("registry", &registry.storage().join("data"))
        .with("registry.yml", &configuration)
        .with("docker-registry", Path::new(program.trim()))
        .with("profiles", &Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/apparmor-profiles"))
        .with("apparmor_parser", Path::new("/sbin/apparmor_parser"))
        .run(ENGINE);
    assert!(printed.ends_with("to the end\n"), "{printed}");
}

#[test]
fn the_engine_lives_without_systemd() {
    the_engine_lives(Machine::bare());
}

#[test]
fn the_engine_lives_beside_systemd() {
    the_engine_lives(Machine::systemd());
}
