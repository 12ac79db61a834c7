//! What every end-to-end test starts from.
//!
//! [`Daemon`] is a `gantryd` of the test's own, with its own roots and socket; [`Registry`] is
//! Debian's docker-registry on loopback, filled with images made on this machine ([`images`]);
//! [`leaks`] is the leak check that ends each test; [`wait::until`] waits for a condition.
//! Nothing here links a Gantry program: tests see sockets and command lines only.

#![forbid(unsafe_code)]

pub mod bundle;
pub mod cgroups;
pub mod daemon;
pub mod images;
pub mod leaks;
pub mod newest;
pub mod podman;
pub mod reference;
pub mod registry;
pub mod terminal;
pub mod wait;

pub use daemon::Daemon;
pub use podman::Podman;
pub use reference::Reference;
pub use registry::Registry;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the five programs, as `cargo xtask build` leaves it.
///
/// # Panics
/// When they have not been built.
#[must_use]
pub fn programs() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/harness is two deep");
    let place = root.join("target/gantry");
    assert!(
        place.join("gantryd").exists(),
        "no programs in {}: cargo xtask build",
        place.display()
    );
    place
}

/// A program of ours by name; `TEST_<NAME>` (`TEST_GANTRYD`, `TEST_GANTRY`) puts another in its
/// place, so that the tests themselves can be proven on the originals.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    match std::env::var_os(format!("TEST_{}", name.to_uppercase())) {
        Some(path) => path.into(),
        None => programs().join(name),
    }
}

/// Where things that take long to make are kept between runs.
#[must_use]
pub fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache"),
        PathBuf::from,
    );
    base.join("gantry-tests")
}

/// Every real `docker` client on this machine; there must be one.
///
/// # Panics
/// When there is none: a missing peer is a failure, not a reason to skip.
#[must_use]
pub fn docker_clients() -> Vec<PathBuf> {
    let found: Vec<PathBuf> = ["/usr/local/bin/docker", "/usr/bin/docker"]
        .iter()
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .collect();
    assert!(!found.is_empty(), "no docker client: apt-get install docker.io");
    found
}

/// What a command printed, for assertions: status, then both streams.
#[must_use]
pub fn describe(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command to its end and returns its standard output.
///
/// # Panics
/// When it cannot be started or fails.
pub fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", describe(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
