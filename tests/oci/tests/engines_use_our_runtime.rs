//! Debian's engines run containers with our runtime in the place of runc and crun.
//!
//! `env TEST_GANTRY-RUNTIME=/usr/sbin/runc` proves the tests themselves.

#![forbid(unsafe_code)]

#[path = "engines_use_our_runtime/buildah.rs"]
mod buildah;
#[path = "engines_use_our_runtime/containerd.rs"]
mod containerd;
#[path = "engines_use_our_runtime/dockerd.rs"]
mod dockerd;
#[path = "engines_use_our_runtime/podman.rs"]
mod podman;
#[path = "engines_use_our_runtime/podman_rootless.rs"]
mod podman_rootless;
#[path = "engines_use_our_runtime/pods.rs"]
mod pods;

use std::process::Command;
use tests_harness::describe;

/// Where busybox is in podman's and buildah's storage.
const IMAGE: &str = "localhost/busybox:latest";

/// A program that ends with 7 when it is asked to, and says that it listens.
const ENDS_WHEN_ASKED: &str = "trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done";

/// Runs a command that must end with this code; what it said.
fn ends_with(code: i32, mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", describe(&output));
    describe(&output)
}
