//! Debian's containerd starts containers through our shim.

#![forbid(unsafe_code)]

use std::path::Path;
use tests_harness::{Reference, programs};
use tests_oci::{OURS, STOCK, ctr_tells_a_containers_life, import_busybox};

#[test]
fn the_same_life_through_the_stock_shim_so_that_the_test_itself_is_true() {
    let containerd = Reference::containerd(Path::new("/nonexistent"));
    import_busybox(&containerd.containerd_socket(), containerd.scratch());
    ctr_tells_a_containers_life(&containerd.containerd_socket(), &["--runtime", STOCK]);
}

#[test]
fn a_containers_life_through_our_shim() {
    let containerd = Reference::containerd(&programs());
    import_busybox(&containerd.containerd_socket(), containerd.scratch());
    ctr_tells_a_containers_life(&containerd.containerd_socket(), &["--runtime", OURS]);
}
