//! A `gantryd` of the test's own.

use crate::leaks::{Census, Scope};
use crate::{docker_clients, output_of, program, wait};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How many containers' networks a daemon makes ahead (`--sandbox-pool`).
const MADE_AHEAD: usize = 8;

/// A running daemon with its own roots; its programs end and its leak check runs on drop.
pub struct Daemon {
    roots: tempfile::TempDir,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Child>,
    baseline: Option<Census>,
}

impl Daemon {
    /// Starts a daemon with further command-line options.
    ///
    /// # Panics
    /// When it does not answer within a minute; the message holds its log.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        Self::start_with(options, &[])
    }

    /// Starts a daemon with further options and environment variables.
    ///
    /// # Panics
    /// When it does not answer within a minute; the message holds its log.
    #[must_use]
    pub fn start_with(options: &[&str], environment: &[(&str, &str)]) -> Self {
        let roots =
            tempfile::Builder::new().prefix("gantry-test-").tempdir().expect("temporary folder");
        let mut daemon = Self {
            roots,
            options: options.iter().map(ToString::to_string).collect(),
            environment: environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            process: None,
            baseline: None,
        };
        daemon.launch();
        daemon.baseline = Some(daemon.settled_census());
        daemon
    }

    /// Starts the daemon's program, after [`Self::kill`] or [`Self::terminate`].
    ///
    /// # Panics
    /// When it does not answer within a minute; the message holds its log.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "the daemon runs already");
        let log =
            File::options().create(true).append(true).open(self.log_path()).expect("open log");
        let mut command = Command::new(program("gantryd"));
        command
            .arg("--data-root")
            .arg(self.data_root())
            .arg("--exec-root")
            .arg(self.exec_root())
            .arg("--pidfile")
            .arg(self.roots.path().join("gantryd.pid"))
            .arg("--host")
            .arg(self.host())
            .args(self.verbosity())
            .args(&self.options)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clone descriptor"))
            .stderr(log);
        self.process = Some(command.spawn().expect("start gantryd"));
        wait::until("the daemon to answer", Duration::from_secs(60), || {
            let exited = self.process.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(exited.is_none(), "gantryd ended ({exited:?}):\n{}", self.log());
            let output = self.gantry(&["version"]);
            if output.status.success() { Ok(()) } else { Err(crate::describe(&output)) }
        });
    }

    /// All that can be logged, unless the test chose.
    fn verbosity(&self) -> Option<&'static str> {
        (!self.options.iter().any(|option| option == "--log-level")).then_some("--debug")
    }

    /// The data root.
    #[must_use]
    pub fn data_root(&self) -> PathBuf {
        self.roots.path().join("data")
    }

    /// The exec root.
    #[must_use]
    pub fn exec_root(&self) -> PathBuf {
        self.roots.path().join("exec")
    }

    /// A folder of the test's own, outside both roots.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.roots.path()
    }

    /// The Engine API socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.roots.path().join("docker.sock")
    }

    /// The Engine API address, as `-H` takes it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn log_path(&self) -> PathBuf {
        self.roots.path().join("gantryd.log")
    }

    /// What the daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// What the supervisor has logged.
    #[must_use]
    pub fn supervisor_log(&self) -> String {
        std::fs::read_to_string(self.exec_root().join("supervisor/supervisor.log"))
            .unwrap_or_default()
    }

    /// The daemon's process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the daemon runs").id()
    }

    /// The supervisor's process id, from its pid file.
    #[must_use]
    pub fn supervisor_pid(&self) -> Option<u32> {
        let path = self.exec_root().join("supervisor/supervisor.pid");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    /// A command of our client on this daemon.
    #[must_use]
    pub fn gantry_command(&self, arguments: &[&str]) -> Command {
        self.client_command(&program("gantry"), arguments)
    }

    /// A command of any client on this daemon.
    #[must_use]
    pub fn client_command(&self, client: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(client);
        command.arg("-H").arg(self.host()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs our client to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn gantry(&self, arguments: &[&str]) -> Output {
        self.gantry_command(arguments).output().expect("start gantry")
    }

    /// Runs our client and returns its standard output.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn gantry_ok(&self, arguments: &[&str]) -> String {
        output_of(&mut self.gantry_command(arguments))
    }

    /// Runs the first real docker client and returns its standard output.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn docker_ok(&self, arguments: &[&str]) -> String {
        output_of(&mut self.client_command(&docker_clients()[0], arguments))
    }

    /// Kills the daemon with SIGKILL and reaps it.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the daemon runs");
        process.kill().expect("kill gantryd");
        process.wait().expect("reap gantryd");
    }

    /// Ends the daemon with SIGTERM and reaps it; containers and the supervisor go on.
    ///
    /// # Panics
    /// When it does not run or does not end.
    pub fn terminate(&mut self) {
        let mut process = self.process.take().expect("the daemon runs");
        signal(process.id(), "TERM");
        wait::until("gantryd to end", Duration::from_secs(60), || match process.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// Reaps the daemon if it has ended by itself (a fault step), and tells whether it had.
    pub fn reap(&mut self) -> bool {
        let ended =
            self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(Some(_))));
        if ended {
            self.process = None;
        }
        ended
    }

    /// Everything of this daemon's that the kernel or a disk knows of now.
    #[must_use]
    pub fn census(&self) -> Census {
        Census::take(&self.scope())
    }

    fn scope(&self) -> Scope {
        Scope {
            data_root: self.data_root(),
            exec_root: self.exec_root(),
            programs: self.process.iter().map(Child::id).chain(self.supervisor_pid()).collect(),
        }
    }

    /// A census taken twice with the same result, once the networks made ahead are there.
    fn settled_census(&self) -> Census {
        let made_ahead =
            || std::fs::read_dir(self.exec_root().join("netns")).map_or(0, Iterator::count);
        let wanted = if std::env::var_os("TEST_GANTRYD").is_some() { 0 } else { MADE_AHEAD };
        let _ = wait::whether(Duration::from_secs(20), || made_ahead() >= wanted);
        wait::until("the daemon to settle", Duration::from_secs(60), || {
            let first = self.census();
            std::thread::sleep(Duration::from_millis(150));
            let second = self.census();
            if first == second { Ok(second) } else { Err(second.beyond(&first).join("\n")) }
        })
    }

    /// The leak check: removes every container, volume and image, then waits until nothing is there that
    /// was not there after the start.
    ///
    /// # Panics
    /// When something is left after a minute: thousands of files are deleted behind everybody's back,
    /// which takes its time on a disk that is busy.
    pub fn assert_no_leaks(&self) {
        self.remove_everything();
        if std::env::var_os("TEST_GANTRYD").is_some() {
            return; // An original: it keeps what it keeps.
        }
        let baseline = self.baseline.as_ref().expect("taken at the start");
        wait::until("no leaks", Duration::from_secs(60), || {
            let left = self.census().beyond(baseline);
            if left.is_empty() { Ok(()) } else { Err(format!("\n  {}", left.join("\n  "))) }
        });
    }

    fn remove_everything(&self) {
        let ids = self.gantry_ok(&["ps", "-aq"]);
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = self.gantry_ok(&[&["rm", "-f", "-v"], ids.as_slice()].concat());
        }
        let volumes = self.gantry_ok(&["volume", "ls", "-q"]);
        let volumes: Vec<&str> = volumes.split_whitespace().collect();
        if !volumes.is_empty() {
            let _ = self.gantry_ok(&[&["volume", "rm"], volumes.as_slice()].concat());
        }
        let images = self.gantry_ok(&["image", "ls", "-q", "--no-trunc"]);
        let mut images: Vec<&str> = images.split_whitespace().collect();
        images.sort_unstable();
        images.dedup();
        if !images.is_empty() {
            let _ = self.gantry_ok(&[&["image", "rm", "-f"], images.as_slice()].concat());
        }
    }

    fn show_logs(&self) {
        eprintln!("--- daemon log (end)\n{}", last_lines(&self.log(), 60));
        eprintln!("--- supervisor log (end)\n{}", last_lines(&self.supervisor_log(), 60));
    }

    /// Ends daemon and supervisor and takes away what outlives them by design: bridge, tables,
    /// mounts of the roots.
    fn dismantle(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal(process.id(), "TERM");
            let _ = process.wait();
        }
        if let Some(pid) = self.supervisor_pid() {
            signal(pid, "TERM");
            let executable = format!("/proc/{pid}/exe");
            let ended = wait::whether(Duration::from_secs(60), || {
                Path::new(&executable).read_link().is_err()
            });
            // A second panic would end the other tests, too.
            assert!(ended || std::thread::panicking(), "the supervisor, {pid}, runs on");
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let root = self.roots.path().display().to_string();
        for line in mounts.lines().rev() {
            if let Some(target) = line.split(' ').nth(1).filter(|t| t.starts_with(&root)) {
                let _ = Command::new("umount").args(["-l", target]).status();
            }
        }
        let _ =
            Command::new("ip").args(["link", "delete", "gantry0"]).stderr(Stdio::null()).status();
    }
}

/// Sends a signal by name; the process may be gone.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
            let output = self.gantry(&["ps", "-aq"]);
            let ids = String::from_utf8_lossy(&output.stdout).into_owned();
            for id in ids.split_whitespace() {
                let _ = self.gantry(&["rm", "-f", id]);
            }
            self.dismantle();
            return;
        }
        // The programs end before a leak fails the test.
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if self.process.is_some() {
                self.assert_no_leaks();
            }
        }));
        if checked.is_err() {
            self.show_logs();
        }
        self.dismantle();
        if let Err(panic) = checked {
            std::panic::resume_unwind(panic);
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
