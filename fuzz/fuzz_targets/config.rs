//! `config.json`: whatever is in it, it is refused or read, and what was read is written again.

#![no_main]

use base_oci::runtime::{NamespaceKind, Spec};
use libfuzzer_sys::fuzz_target;
use runtime_confine::{capabilities, identity, labels, rlimits, scheduling, seccomp, sysctls};
use runtime_rootfs::{CgroupMounts, Plan, Request};
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<Spec>(bytes) else { return };
    let written = serde_json::to_vec(&spec).expect("what was read can be written");
    let again: Spec = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(spec, again);

    let _ = Plan::new(Request {
        spec: &spec,
        bundle: Path::new("/bundle"),
        base: Vec::new(),
        cgroups: CgroupMounts::default(),
        mount_label: spec.linux.as_ref().map_or("", |linux| &linux.mount_label),
    });
    if let Some(process) = &spec.process {
        let _ = identity::check(&process.user);
        let _ = rlimits::Limits::parse(&process.rlimits);
        let _ = process.capabilities.as_ref().map(capabilities::Sets::parse);
        let _ = scheduling::Scheduling::parse(
            process.scheduler.as_ref(),
            process.io_priority.as_ref(),
            None,
            None,
        );
        let _ = labels::Labels::new(&process.apparmor_profile, &process.selinux_label);
    }
    let Some(linux) = &spec.linux else { return };
    let _ = sysctls::check(
        &linux.sysctl,
        &[NamespaceKind::Ipc, NamespaceKind::Network, NamespaceKind::Uts],
    );
    let _ = scheduling::Scheduling::parse(
        None,
        None,
        linux.memory_policy.as_ref(),
        linux.personality.as_ref(),
    );
    let _ = runtime_cgroups::locate(&linux.cgroups_path, "id");
    if let Some(Ok(filter)) = linux.seccomp.as_ref().map(seccomp::compile) {
        let kept = seccomp::Filter::from_bytes(&filter.to_bytes());
        assert_eq!(kept.as_ref(), Some(&filter));
    }
});
