//! AppArmor's profiles and SELinux's labels in force: Debian's kernel has both modules, and starts one
//! of them.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;
use tests_harness::output_of;
use tests_vm::{Machine, bundle};

fn to_the_end(machine: Machine, script: &str) {
    let folder = tempfile::tempdir().expect("temporary folder");
    bundle::write(folder.path(), "/test/box");
    let printed = machine.with("bundle", folder.path()).with_programs().run(script);
    assert!(printed.ends_with("to the end\n"), "{printed}");
}

#[test]
fn a_container_has_its_apparmor_profile() {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/apparmor-profiles");
    let machine = Machine::bare()
        .with_criu()
        .with("profiles", &profiles)
        .with("apparmor_parser", Path::new("/sbin/apparmor_parser"));
    to_the_end(machine, include_str!("../guest/apparmor.sh"));
}

#[test]
fn a_container_has_its_selinux_label() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let policy = folder.path().join("policy");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/selinux.cil");
    let mut secilc = Command::new("secilc");
    let _ = output_of(secilc.arg(source).args(["-f", "/dev/null", "-o"]).arg(&policy));
    let machine = Machine::bare_with_selinux().with("policy", &policy);
    to_the_end(machine, include_str!("../guest/selinux.sh"));
}
