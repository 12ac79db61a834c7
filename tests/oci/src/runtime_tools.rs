//! The validation programs of OCI's runtime-tools, built from their Go module and run on a runtime.
//!
//! Each program makes containers with the runtime that it is given and prints TAP. There are two
//! sets: the newest commit, which writes specification 1.3, and the last release, which writes 1.0.
//! Neither passes whole on any runtime: `docs/compat/oci-runtime.md` says who fails what and why.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests_harness::cgroups::ONLY_V1;
use tests_harness::{cache, output_of};

const PACKAGE: &str = "github.com/opencontainers/runtime-tools";

/// One version of the validation programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// The commit of November 2025.
    Newest,
    /// The last release, of 2018.
    Release,
}

/// How one program ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Checks that held.
    pub ok: usize,
    /// Checks that did not.
    pub not_ok: usize,
    /// Whether the program came to its end, within its time.
    pub ended: bool,
}

impl Outcome {
    /// Whether the program says that the runtime is right in everything that it looks at.
    #[must_use]
    pub fn passed(self) -> bool {
        self.ended && self.ok > 0 && self.not_ok == 0
    }

    /// Reads a program's output. Only lines at the margin count: what is indented is the output of
    /// a program inside, told as a diagnosis.
    fn read(output: &str) -> Self {
        let mut outcome = Self::default();
        for line in output.lines() {
            let is_excused = line.contains("# TODO") || line.contains("# SKIP");
            if line.starts_with("not ok") && !is_excused {
                outcome.not_ok += 1;
            } else if line.starts_with("ok") || line.starts_with("not ok") {
                outcome.ok += 1;
            }
        }
        outcome.ended = output.lines().last() == Some("ended 0");
        outcome
    }
}

impl Set {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Newest, Self::Release];

    /// Its version, and the name of its folder.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Newest => "v0.9.1-0.20251114084447-edf4cb3d2116",
            Self::Release => "v0.9.0",
        }
    }

    /// What Go needs to build exactly this version.
    fn module(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Newest => [
                ("go.mod", include_str!("../runtime-tools/newest/go.mod")),
                ("go.sum", include_str!("../runtime-tools/newest/go.sum")),
            ],
            Self::Release => [
                ("go.mod", include_str!("../runtime-tools/v0.9.0/go.mod")),
                ("go.sum", include_str!("../runtime-tools/v0.9.0/go.sum")),
            ],
        }
    }

    /// The folder of the built programs; they are built once and kept in the cache.
    ///
    /// # Panics
    /// Go is missing, or cannot build them.
    #[must_use]
    pub fn programs(self) -> PathBuf {
        let place = cache().join(format!("runtime-tools-{}", self.version()));
        if place.exists() {
            return place;
        }
        fs::create_dir_all(cache()).expect("create the cache");
        let work = tempfile::Builder::new()
            .prefix("runtime-tools-")
            .tempdir_in(cache())
            .expect("temporary folder");
        for (file, text) in self.module() {
            fs::write(work.path().join(file), text).expect("write the Go module");
        }
        // runtimetest runs inside the containers, whose root has no C library of its own.
        let script = format!(
            r#"
            set -eu
            export GOFLAGS=-mod=mod CGO_ENABLED=0
            mkdir programs
            go build -o programs/ {PACKAGE}/validation/...
            go build -o programs/ {PACKAGE}/cmd/runtimetest
            cp "$(go list -m -f '{{{{.Dir}}}}' {PACKAGE})/rootfs-amd64.tar.gz" programs/
            chmod -R u+w programs
            "#
        );
        let _ = output_of(Command::new("sh").current_dir(work.path()).args(["-c", &script]));
        if let Err(error) = fs::rename(work.path().join("programs"), &place) {
            assert!(place.exists(), "keep {}: {error}", place.display());
        }
        place
    }

    /// Runs every program of the set on a runtime.
    ///
    /// # Panics
    /// The programs cannot be built or run.
    #[must_use]
    pub fn run(self, runtime: &Path) -> BTreeMap<String, Outcome> {
        self.run_one(runtime, "*")
    }

    /// Runs one program of the set, or those that a pattern of the shell's fits.
    ///
    /// # Panics
    /// As [`Set::run`].
    #[must_use]
    pub fn run_one(self, runtime: &Path, pattern: &str) -> BTreeMap<String, Outcome> {
        let programs = self.programs();
        let output = output_of(
            Command::new("unshare")
                .args(["--mount", "--propagation", "private", "sh", "-c"])
                .arg(format!("set -eu\n{ONLY_V1}{SCRIPT}"))
                .arg("sh")
                .arg(&programs)
                .arg(pattern)
                .env("RUNTIME", runtime),
        );
        outcomes(&output)
    }
}

/// Cuts the script's output into the programs'.
fn outcomes(output: &str) -> BTreeMap<String, Outcome> {
    output
        .split("=== ")
        .skip(1)
        .filter_map(|part| part.split_once('\n'))
        .map(|(name, text)| (name.to_owned(), Outcome::read(text)))
        .collect()
}

/// Runs the programs one after another, in a mount namespace of their own. The programs want cgroup
/// v1 as it was mounted in 2018: every controller, and `cpu,cpuacct` as a second name of `cpu`.
/// Containers that they leave behind are removed after each: their state is in a folder that only
/// exists here. The null device is another node than the host's: crun gives the one that it gets as
/// stdin to the user namespace's root.
const SCRIPT: &str = r#"
state=/run/$(basename "$RUNTIME")
mkdir -p "$state"
mount -t tmpfs tmpfs "$state"
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
cp "$1/runtimetest" "$1/rootfs-amd64.tar.gz" "$work"
cd "$work"
mknod -m 666 null c 1 3
mount --bind null /dev/null
export TMPDIR="$work"
for program in "$1"/$2; do
    name=$(basename "$program")
    case $name in runtimetest|*.tar.gz) continue ;; esac
    echo "=== $name"
    status=0
    # In a mount namespace of its own: some containers have none.
    timeout --kill-after 5 120 unshare --mount --propagation private "$program" \
        </dev/null 2>/dev/null || status=$?
    echo
    echo "ended $status"
    for container in "$state"/*/; do
        [ -d "$container" ] || continue
        "$RUNTIME" delete --force "$(basename "$container")" >/dev/null 2>&1 || true
    done
    rm -rf --one-file-system "$work"/ocitest*
    for hierarchy in /sys/fs/cgroup/*/; do
        rmdir "$hierarchy"cgrouptest "$hierarchy"testdir/cgrouptest "$hierarchy"testdir 2>/dev/null || true
    done
done
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_at_the_margin_count_and_a_program_must_come_to_its_end() {
        let output = "=== one\nTAP version 13\nok 1 - a\n  ---\n  not ok 1 - inner\nnot ok 2 - b # TODO\n\nended 0\n\
                      === two\nok 1\nnot ok 2 - c\n\nended 0\n=== three\nok 1\n\nended 124\n";
        let outcomes = outcomes(output);
        let passed: Vec<bool> = outcomes.values().map(|outcome| outcome.passed()).collect();
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["one", "three", "two"]);
        assert_eq!(passed, [true, false, false]);
        assert_eq!(outcomes["one"].ok, 2);
    }
}
