//! Debian's ctr runs a container of its own through our supervisor, with `gantryd` stopped.

#![forbid(unsafe_code)]

use tests_harness::cgroups::HiddenHierarchies;
use tests_harness::reference::ctr;
use tests_harness::{Daemon, output_of};
use tests_oci::{OURS, STOCK, ctr_tells_a_containers_life, import_busybox};

#[test]
fn a_containers_life_through_our_supervisor() {
    let _hierarchies = HiddenHierarchies::mount();
    let mut daemon = Daemon::start(&[]);
    daemon.terminate();
    let socket = daemon.exec_root().join("supervisor/containerd.sock");
    let version = output_of(&mut ctr(&socket, &["version"]));
    assert!(version.contains("Server:"), "{version}");
    import_busybox(&socket, daemon.scratch());
    ctr_tells_a_containers_life(&socket, &["--runtime", OURS]);
    // The shim protocol is public: a stock shim with a stock runtime works below us as well.
    ctr_tells_a_containers_life(&socket, &["--runtime", STOCK]);
    let _ = output_of(&mut ctr(&socket, &["image", "rm", "--sync", tests_oci::BUSYBOX]));
    assert_eq!(output_of(&mut ctr(&socket, &["content", "ls", "-q"])), "");
    let snapshots = output_of(&mut ctr(&socket, &["snapshot", "ls"]));
    assert_eq!(snapshots.lines().count(), 1, "{snapshots}");
    let plugins = output_of(&mut ctr(&socket, &["plugins", "ls"]));
    assert!(plugins.contains("io.gantry.stdio"), "{plugins}");
    daemon.launch();
}
