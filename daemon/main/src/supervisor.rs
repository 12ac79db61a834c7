//! The daemon's own supervisor: started when none runs, found when one does, started again when
//! it dies.
//!
//! It outlives the daemon: it runs in a session of its own and keeps its pid file locked, which
//! is how the next daemon knows that it is there.

use crate::arguments::Arguments;
use crate::{activation, programs};
use anyhow::{Context, bail};
use contracts_supervisor_api::channel;
use contracts_supervisor_api::services::version::version_client::VersionClient;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, pidfd_open, setsid, test_kill_process,
};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

const PROGRAM: &str = "gantry-supervisor";
/// The word by which this program, started again, turns into the supervisor.
const BECOME: &str = "--become-supervisor";
/// How long a supervisor may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often one is started that ends before it answers.
const MOST_STARTS: usize = 3;
/// How long it may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);
/// How often one is looked at whose process cannot be waited for.
const WATCH: Duration = Duration::from_millis(100);
/// After a supervisor that died at once, the next one waits this long.
const PAUSE: Duration = Duration::from_secs(1);

/// The daemon's own supervisor.
#[derive(Clone, Debug)]
pub(crate) struct OwnSupervisor {
    state: PathBuf,
    data_root: PathBuf,
    log_level: &'static str,
    favor_dynmods: bool,
}

impl OwnSupervisor {
    /// The supervisor that goes with these settings.
    pub(crate) fn new(settings: &Arguments) -> Self {
        Self {
            state: settings.exec_root.join("supervisor"),
            data_root: settings.data_root.clone(),
            log_level: if settings.debug { "debug" } else { "info" },
            favor_dynmods: settings.favor_dynmods,
        }
    }

    /// Its gRPC socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state.join("containerd.sock")
    }

    /// Makes sure that one runs and speaks our protocol.
    pub(crate) async fn ensure(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut starts = Vec::<Arc<OnceLock<ExitStatus>>>::new();
        loop {
            let running = self.is_running();
            if running && let Some(version) = self.version().await {
                if version != env!("CARGO_PKG_VERSION") {
                    tracing::warn!(version, "the running supervisor is of another version");
                }
                return Ok(());
            }
            if !running {
                let end = starts.last().map(|start| start.get());
                match end {
                    Some(Some(end)) if starts.len() == MOST_STARTS => {
                        bail!("the supervisor ended ({end}); its log is {}", self.log().display())
                    }
                    None | Some(Some(_)) => starts.push(self.start()?),
                    // It has not come to its pid file yet.
                    Some(None) => {}
                }
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
            if let Err(error) = self.ended().await {
                tracing::debug!(%error, "cannot wait for the supervisor's end");
                tokio::time::sleep(WATCH).await;
            }
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

    /// Waits until it has ended.
    async fn ended(&self) -> std::io::Result<()> {
        let text = std::fs::read_to_string(self.pidfile())?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| std::io::Error::other("no process id in the pid file"))?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        // Whoever holds the lock has written its own id: the descriptor is not another process'.
        if !self.is_running() {
            return Ok(());
        }
        #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd stays open while held")]
        let process = AsyncFd::new(process)?;
        process.readable().await.map(drop)
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

    /// Starts it; what is returned is set when it has ended.
    fn start(&self) -> anyhow::Result<Arc<OnceLock<ExitStatus>>> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.state)
            .with_context(|| format!("make {}", self.state.display()))?;
        let program =
            programs::find(Path::new(PROGRAM)).with_context(|| format!("{PROGRAM} not found"))?;
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(self.log());
        let log = open().with_context(|| format!("open {}", self.log().display()))?;
        let errors = log.try_clone()?;
        let mut command = Command::new("/proc/self/exe");
        // Sockets that were passed to us are not passed on, nor are we told about by them.
        for name in activation::VARIABLES {
            command.env_remove(name);
        }
        let mut child = command
            .arg(BECOME)
            .arg(&program)
            .arg("--root")
            .arg(&self.data_root)
            .arg("--state")
            .arg(&self.state)
            .args(["--log-level", self.log_level])
            .arg(format!("--favor-dynmods={}", self.favor_dynmods))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        // Reaped by a thread that costs nothing while it waits; the daemon may end first.
        let end = Arc::new(OnceLock::new());
        let told = end.clone();
        std::thread::Builder::new().name("reaper".to_owned()).stack_size(64 * 1024).spawn(
            move || {
                if let Ok(status) = child.wait() {
                    let _ = told.set(status);
                }
            },
        )?;
        Ok(end)
    }
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
    use clap::Parser;
    use std::ffi::OsStr;

    #[test]
    fn a_supervisor_is_running_while_its_pid_file_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let roots = ["--data-root", "--exec-root"].map(|name| (name, folder.path().as_os_str()));
        let words = roots.iter().flat_map(|(name, path)| [OsStr::new(name), path]);
        let words = std::iter::once(OsStr::new("gantryd")).chain(words);
        let own = OwnSupervisor::new(&Arguments::try_parse_from(words).unwrap());
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
