//! The daemon's own supervisor: started when none runs, found when one does, started again when
//! it dies.
//!
//! It outlives the daemon: it runs in a session of its own and keeps its pid file locked, which
//! is how the next daemon knows that it is there.

use anyhow::{Context, bail};
use contracts_supervisor_api::channel;
use contracts_supervisor_api::services::version::version_client::VersionClient;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, setsid, test_kill_process};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "gantry-supervisor";
/// The word by which this program, started again, turns into the supervisor.
const BECOME: &str = "--become-supervisor";
/// How long a supervisor may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long it may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);
/// How often a living one is looked at.
const WATCH: Duration = Duration::from_millis(100);
/// After a supervisor that died at once, the next one waits this long.
const PAUSE: Duration = Duration::from_secs(1);

/// The daemon's own supervisor.
#[derive(Clone, Debug)]
pub(crate) struct OwnSupervisor {
    state: PathBuf,
    data_root: PathBuf,
    log_level: &'static str,
}

impl OwnSupervisor {
    /// The supervisor of these two roots.
    pub(crate) fn new(data_root: &Path, exec_root: &Path, debug: bool) -> Self {
        Self {
            state: exec_root.join("supervisor"),
            data_root: data_root.to_owned(),
            log_level: if debug { "debug" } else { "info" },
        }
    }

    /// Its gRPC socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state.join("containerd.sock")
    }

    /// Makes sure that one runs and speaks our protocol.
    pub(crate) async fn ensure(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut started = false;
        loop {
            let running = self.is_running();
            if running && let Some(version) = self.version().await {
                if version != env!("CARGO_PKG_VERSION") {
                    tracing::warn!(version, "the running supervisor is of another version");
                }
                return Ok(());
            }
            if !running && !started {
                self.start()?;
                started = true;
            }
            if begun.elapsed() > START_LIMIT {
                bail!("the supervisor does not answer; its log is {}", self.log().display());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts it again whenever it dies; for ever.
    pub(crate) async fn keep(self) {
        loop {
            tokio::time::sleep(WATCH).await;
            if self.is_running() {
                continue;
            }
            tracing::warn!("the supervisor is gone; starting it again");
            if let Err(error) = self.ensure().await {
                tracing::error!(error = %format!("{error:#}"), "supervisor not started");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Ends it.
    pub(crate) async fn stop(&self) {
        let pid = std::fs::read_to_string(self.pidfile()).ok();
        let pid = pid.and_then(|text| text.trim().parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| self.is_running()) else { return };
        if kill_process(pid, Signal::TERM).is_err() {
            return;
        }
        let begun = Instant::now();
        while test_kill_process(pid).is_ok() && begun.elapsed() < STOP_LIMIT {
            tokio::time::sleep(POLL).await;
        }
    }

    fn pidfile(&self) -> PathBuf {
        self.state.join("supervisor.pid")
    }

    fn log(&self) -> PathBuf {
        self.state.join("supervisor.log")
    }

    /// Whether somebody holds the lock on the pid file.
    fn is_running(&self) -> bool {
        let Ok(file) = File::open(self.pidfile()) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }

    /// The hand-shake: which version answers on the socket.
    async fn version(&self) -> Option<String> {
        let channel = channel::connect(&self.socket()).await.ok()?;
        let answer = VersionClient::new(channel).version(()).await.ok()?;
        Some(answer.into_inner().version)
    }

    fn start(&self) -> anyhow::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.state)
            .with_context(|| format!("make {}", self.state.display()))?;
        let program = find(PROGRAM).with_context(|| format!("{PROGRAM} not found"))?;
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(self.log());
        let log = open().with_context(|| format!("open {}", self.log().display()))?;
        let errors = log.try_clone()?;
        let mut child = Command::new("/proc/self/exe")
            .arg(BECOME)
            .arg(&program)
            .arg("--root")
            .arg(&self.data_root)
            .arg("--state")
            .arg(&self.state)
            .args(["--log-level", self.log_level])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        // Reaped by a thread that costs nothing while it waits; the daemon may end first.
        std::thread::Builder::new().name("reaper".to_owned()).stack_size(64 * 1024).spawn(
            move || {
                let _ = child.wait();
            },
        )?;
        Ok(())
    }
}

/// A program of ours: beside this one, then in `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    // A program that was replaced while it runs is shown with this suffix by the kernel.
    let own = own.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
    let beside = Path::new(&own).with_file_name(name);
    if beside.is_file() {
        return Some(beside);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The words behind [`BECOME`], when this process was started by [`OwnSupervisor::start`].
pub(crate) fn is_launch(words: &[OsString]) -> Option<&[OsString]> {
    match words {
        [_, word, rest @ ..] if word == BECOME => Some(rest),
        _ => None,
    }
}

/// Turns this process into the supervisor, in a session of its own. A process that has been
/// forked but not executed could do this only with unsafe code.
pub(crate) fn become_supervisor(words: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = words.split_first() else { return ExitCode::FAILURE };
    let _ = setsid();
    let error = Command::new(program).args(arguments).exec();
    eprintln!("cannot execute {}: {error}", Path::new(program).display());
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_is_running_while_its_pid_file_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let own = OwnSupervisor::new(folder.path(), folder.path(), false);
        assert!(!own.is_running());
        std::fs::create_dir(folder.path().join("supervisor")).unwrap();
        let file = File::create(own.pidfile()).unwrap();
        assert!(!own.is_running());
        flock(&file, FlockOperation::LockExclusive).unwrap();
        assert!(own.is_running());
    }

    #[test]
    fn only_the_secret_word_turns_us_into_the_supervisor() {
        let words = |list: &[&str]| -> Vec<OsString> { list.iter().map(OsString::from).collect() };
        assert!(is_launch(&words(&["gantryd", "--debug"])).is_none());
        assert_eq!(is_launch(&words(&["gantryd", BECOME, "/x"])).unwrap(), ["/x"]);
    }
}
