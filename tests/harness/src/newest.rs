//! The newest originals, built from their Go modules, once: Debian's are some years old.
//!
//! They lie in `~/.cache/gantry-peers/bin`. What is missing there is built with `go` and pinned
//! versions; that takes minutes and modules from outside, so no test of CI asks for it.

use crate::output_of;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of dockerd and docker-proxy.
pub const DOCKERD: &str = "v2.0.0-beta.24";
/// The version of containerd, its shim and `ctr`.
pub const CONTAINERD: &str = "v2.4.2";
/// The version of runc.
pub const RUNC: &str = "v1.5.2";

/// A program: its name, package, version and build tags.
type Program = (&'static str, &'static str, &'static str, &'static str);

const PROGRAMS: [Program; 6] = [
    ("dockerd", "github.com/moby/moby/v2/cmd/dockerd", DOCKERD, ""),
    ("docker-proxy", "github.com/moby/moby/v2/cmd/docker-proxy", DOCKERD, ""),
    ("containerd", "github.com/containerd/containerd/v2/cmd/containerd", CONTAINERD, "no_btrfs"),
    (
        "containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        CONTAINERD,
        "no_btrfs",
    ),
    ("ctr", "github.com/containerd/containerd/v2/cmd/ctr", CONTAINERD, "no_btrfs"),
    ("runc", "github.com/opencontainers/runc", RUNC, "seccomp"),
];

/// Where they are kept.
#[must_use]
pub fn folder() -> PathBuf {
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
    Path::new(&home).join(".cache/gantry-peers/bin")
}

/// The folder with all of them in it.
///
/// # Panics
/// When one is missing and cannot be built.
#[must_use]
pub fn programs() -> PathBuf {
    let folder = folder();
    for program in PROGRAMS {
        if !folder.join(program.0).exists() {
            build(program, &folder);
        }
    }
    folder
}

/// Builds a program in a module of its own, whose `go.mod` pins the version. runc wants
/// libseccomp-dev and pkg-config.
fn build((name, package, version, tags): Program, folder: &Path) {
    eprintln!("building {name} {version} (takes minutes)");
    std::fs::create_dir_all(folder).expect("create the cache");
    let module = tempfile::tempdir().expect("temporary folder");
    std::fs::write(module.path().join("go.mod"), "module newest\n\ngo 1.24\n")
        .expect("write go.mod");
    let go = |arguments: &[&str]| {
        let _ = output_of(Command::new("go").current_dir(module.path()).args(arguments));
    };
    go(&["get", "-tool", &format!("{package}@{version}")]);
    let new = folder.join(format!("{name}.new"));
    go(&["build", "-tags", tags, "-o", &new.display().to_string(), package]);
    std::fs::rename(&new, folder.join(name)).expect("keep the program");
}
