//! containerd checkpoints and restores through our shim, by real CRIU.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::Command;
use tests_harness::reference::archive;
use tests_harness::{images, output_of};
use tests_vm::Machine;

const IMAGE: &str = "docker.io/library/busybox:latest";
const SCRIPT: &str = include_str!("../guest/containerd.sh");

#[test]
fn a_container_of_containerds_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let image = archive(&images::busybox(), IMAGE, folder.path());
    let programs = folder.path().join("containerd");
    std::fs::create_dir(&programs).expect("create folder");
    // `TEST_ENGINES` puts others in the place of Debian's.
    let engines = std::env::var_os("TEST_ENGINES").map_or_else(|| "/usr/bin".into(), PathBuf::from);
    for program in ["containerd", "ctr"] {
        let _ = output_of(Command::new("cp").arg(engines.join(program)).arg(&programs));
    }
    let machine = Machine::bare().with_programs().with_criu().with("containerd", &programs);
    let printed = machine.with("image.tar", &image).run(&format!("IMAGE={IMAGE}\n{SCRIPT}"));
    assert!(printed.ends_with("to the end\n"), "{printed}");
}
