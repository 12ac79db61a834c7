//! Debian's containerd starts containers through our shim.

#![forbid(unsafe_code)]

use tests_harness::{Reference, programs};
use tests_oci::{ctr_tells_a_containers_life, import_busybox};

#[test]
fn a_containers_life_through_our_shim() {
    let containerd = Reference::containerd(&programs());
    import_busybox(&containerd.containerd_socket(), containerd.scratch());
    ctr_tells_a_containers_life(&containerd.containerd_socket(), "io.containerd.gantry.v2");
}
