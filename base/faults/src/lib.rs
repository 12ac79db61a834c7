//! Numbered steps of the operations that must survive the death of any program.
//!
//! A program calls [`reach`] where it has just finished a step whose effects a crash may leave
//! half done. Normally that costs one load of a flag. When the environment variable
//! [`VARIABLE`] names a directory at start-up (tests only), a file of the step's name in it arms
//! the step: the first program to reach it renames the file to `<step>.reached` and dies by
//! SIGKILL, which leaves exactly what a crash there would leave. A test that arms a step and
//! finds no `.reached` file afterwards knows that the step was not on the path.

#![forbid(unsafe_code)]

mod steps;

pub use steps::{Operation, Program, STEPS, Step, step};

use std::path::PathBuf;
use std::sync::OnceLock;

/// Names the directory of armed steps.
pub const VARIABLE: &str = "GANTRY_FAULTS";

/// Tells that `step` has been reached; dies here when a test armed it.
pub fn reach(step: &Step) {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let Some(directory) = DIRECTORY.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from))
    else {
        return;
    };
    let armed = directory.join(step.name);
    if std::fs::rename(&armed, directory.join(format!("{}.reached", step.name))).is_ok() {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
