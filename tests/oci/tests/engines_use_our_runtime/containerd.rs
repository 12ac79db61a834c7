//! containerd and its own shim, whose `BinaryName` is our runtime.

use std::path::Path;
use tests_harness::Reference;
use tests_oci::bundle::runtime;
use tests_oci::{STOCK, ctr_tells_a_containers_life, import_busybox};

#[test]
fn the_stock_shim_runs_executes_pauses_measures_and_kills() {
    let containerd = Reference::containerd(Path::new("/nonexistent"));
    let socket = containerd.containerd_socket();
    import_busybox(&socket, containerd.scratch());
    let binary = runtime().display().to_string();
    ctr_tells_a_containers_life(&socket, &["--runtime", STOCK, "--runc-binary", &binary]);
}
