//! Numbered steps of the operations that must survive the death of any program.
//!
//! A program calls [`reach`] where it has just finished a step whose effects a crash may leave
//! half done. Normally that costs one load of a flag. When the environment variable
//! [`VARIABLE`] names a directory at start-up (tests only), a file of the step's name in it arms
//! the step: the first program to reach it renames the file to `<step>.reached` and dies by
//! SIGKILL, which leaves exactly what a crash there would leave. A test that arms a step and
//! finds no `.reached` file afterwards knows that the step was not on the path. A fifo in the
//! file's place holds the program there instead, so that the test can kill another one meanwhile:
//! the program goes on when the test has written [`GO_ON`] to it.

#![forbid(unsafe_code)]

mod steps;

pub use steps::{Operation, Program, STEPS, Step, step};

use rustix::fs::{Mode, OFlags, openat, renameat};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Names the directory of armed steps.
pub const VARIABLE: &str = "GANTRY_FAULTS";
/// What a test writes to the fifo of a step to let the program go on.
pub const GO_ON: &str = "go on";

/// The directory of armed steps.
struct Directory {
    path: PathBuf,
    /// For a process that has moved into a container's root.
    open: Option<OwnedFd>,
}

fn directory() -> Option<&'static Directory> {
    static DIRECTORY: OnceLock<Option<Directory>> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| std::env::var_os(VARIABLE).map(|path| Directory::open(path.into())))
        .as_ref()
}

/// The open directory of armed steps, if there is one: who closes its descriptors and still has
/// steps to pass keeps this one.
#[must_use]
pub fn descriptor() -> Option<BorrowedFd<'static>> {
    directory().and_then(|directory| directory.open.as_ref()).map(AsFd::as_fd)
}

/// Tells that `step` has been reached; dies or waits here when a test armed it.
pub fn reach(step: &Step) {
    let Some(directory) = directory() else { return };
    let reached = format!("{}.reached", step.name);
    if !directory.rename(step.name, &reached) || directory.says_go_on(&reached) {
        return;
    }
    let own = rustix::process::getpid();
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    // Nobody in a pid namespace can kill its first process, not even itself; a fault does.
    std::process::abort();
}

impl Directory {
    fn open(path: PathBuf) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(&path, flags, Mode::empty()).ok();
        Self { path, open }
    }

    /// Renames a file there, if there is one.
    fn rename(&self, from: &str, to: &str) -> bool {
        std::fs::rename(self.path.join(from), self.path.join(to)).is_ok()
            || self.open.as_ref().is_some_and(|open| renameat(open, from, open, to).is_ok())
    }

    /// Whether the file, which may be a fifo, says that this is no death.
    fn says_go_on(&self, name: &str) -> bool {
        let mut text = [0; GO_ON.len()];
        let file = File::open(self.path.join(name)).ok().or_else(|| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            openat(self.open.as_ref()?, Path::new(name), flags, Mode::empty()).ok().map(File::from)
        });
        file.is_some_and(|mut file| file.read_exact(&mut text).is_ok()) && text == GO_ON.as_bytes()
    }
}
