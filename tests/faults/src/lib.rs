//! End-to-end tests: any program dies at any step, and nothing is lost or left behind.

#![forbid(unsafe_code)]

use base_faults::{Program, Step};
use std::path::PathBuf;
use std::time::Duration;
use tests_harness::{Daemon, Registry, wait};

/// How long after a client's answer a step may be reached.
const REACHED_TIME: Duration = Duration::from_secs(60);

/// A daemon whose programs die where a test says.
pub struct Stage {
    /// Dropped first, with its leak check.
    pub daemon: Daemon,
    faults: tempfile::TempDir,
    _registry: Registry,
}

impl Stage {
    /// Starts registry and daemon with busybox in it, and no step armed.
    ///
    /// # Panics
    /// When one of them does not start.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::filled();
        let faults =
            tempfile::Builder::new().prefix("gantry-faults-").tempdir().expect("temporary folder");
        let place = faults.path().display().to_string();
        let daemon = Daemon::start_with(
            &["--registry-mirror", &registry.mirror()],
            &[(base_faults::VARIABLE, &place)],
        );
        let _ = daemon.gantry_ok(&["pull", "-q", "busybox"]);
        Self { daemon, faults, _registry: registry }
    }

    /// The next program that reaches this step dies there.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn arm(&self, step: &Step) {
        std::fs::write(self.faults.path().join(step.name), "").expect("arm a step");
    }

    /// Whether an armed step was reached; disarms it in any case. What is cleaned up after the
    /// client's answer may come to its step a moment later.
    #[must_use]
    pub fn reached(&self, step: &Step) -> bool {
        let _ = wait::whether(REACHED_TIME, || self.reached_path(step).exists());
        let _ = std::fs::remove_file(self.faults.path().join(step.name));
        std::fs::remove_file(self.reached_path(step)).is_ok()
    }

    fn reached_path(&self, step: &Step) -> PathBuf {
        self.faults.path().join(format!("{}.reached", step.name))
    }

    /// Runs our client with the fault steps in its environment; its result does not matter.
    ///
    /// # Panics
    /// When it hangs for more than forty seconds: a dead program must never hang a client.
    pub fn attempt(&self, arguments: &[&str]) {
        let mut client = self
            .daemon
            .gantry_command(arguments)
            .env(base_faults::VARIABLE, self.faults.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("start gantry");
        wait::until(&format!("gantry {arguments:?} to end"), Duration::from_secs(40), || {
            match client.try_wait() {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Puts the daemon back where the step killed it; the others are its to restart.
    ///
    /// # Panics
    /// When daemon or supervisor do not answer again.
    pub fn recover(&mut self, step: &Step) {
        if step.program == Program::Daemon {
            let daemon = &mut self.daemon;
            wait::until("the daemon's death to be seen", Duration::from_secs(60), || {
                if daemon.reap() { Ok(()) } else { Err("it lives".to_owned()) }
            });
            daemon.launch();
        }
        wait::until("the engine to answer", Duration::from_secs(60), || {
            let output = self.daemon.gantry(&["run", "--rm", "busybox", "true"]);
            if output.status.success() { Ok(()) } else { Err(tests_harness::describe(&output)) }
        });
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}
