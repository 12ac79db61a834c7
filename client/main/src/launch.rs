//! Starting the daemon: only where no host or context was named, nothing listens, and we are root.
//!
//! Two clients at once start one daemon: whoever gets the lock starts it, the other waits for the
//! lock and finds it listening. The mark file says that the daemon was started in this way; only
//! such a daemon is replaced when the binary beside this program is another than the one that
//! runs (containers go on, the new daemon adopts them).

use client_commands::output;
use client_http::Launcher;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, setsid, test_kill_process};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Our own default socket.
pub(crate) const SOCKET: &str = "/run/gantry/docker.sock";
/// The word by which this program starts itself to become the daemon in a session of its own.
pub(crate) const BECOME_DAEMON: &str = "__become-daemon";

const EXEC_ROOT: &str = "/run/gantry";
const DAEMON: &str = "gantryd";
/// A daemon that nobody asked for by name leaves again: after ten minutes.
const IDLE_EXIT_SECONDS: &str = "600";
/// Longer than any start that is going to succeed.
const START_LIMIT: Duration = Duration::from_secs(30);
/// From here on the user is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(2);
/// How much of the log is shown when the daemon dies.
const LOG_TAIL: u64 = 4096;

/// Starts and replaces the daemon behind [`SOCKET`].
#[derive(Debug)]
pub(crate) struct Auto {
    root: PathBuf,
    daemon: PathBuf,
}

impl Auto {
    /// `None` for anybody but root, and where no daemon lies beside this program.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let own = std::fs::read_link("/proc/self/exe").ok()?;
        let daemon = own.parent()?.join(DAEMON);
        daemon.is_file().then(|| Self { root: PathBuf::from(EXEC_ROOT), daemon })
    }

    fn mark(&self) -> PathBuf {
        self.root.join("gantryd.auto")
    }

    fn log(&self) -> PathBuf {
        self.root.join("gantryd.log")
    }

    /// The pid of a daemon that we started and whose binary is no longer the one beside us.
    fn outdated(&self) -> Option<Pid> {
        let mark = std::fs::symlink_metadata(self.mark()).ok()?;
        if !mark.is_file() || mark.uid() != 0 {
            return None;
        }
        let pid = std::fs::read_to_string(self.root.join("gantryd.pid")).ok()?;
        let pid: i32 = pid.trim().parse().ok()?;
        // Follows the link even where its target has been deleted: the inode of what runs.
        let running = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        let beside = std::fs::metadata(&self.daemon).ok()?;
        let same = (running.dev(), running.ino()) == (beside.dev(), beside.ino());
        let name = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        // The pid may be another program's by now.
        let ours = name.to_string_lossy().trim_end_matches(" (deleted)").ends_with(DAEMON);
        if same || !ours { None } else { Pid::from_raw(pid) }
    }

    fn lock(&self) -> Result<File, String> {
        let path = self.root.join("gantryd.start.lock");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.root)
            .map_err(|error| format!("cannot create {}: {error}", self.root.display()))?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| format!("cannot lock {}: {error}", path.display()))?;
        Ok(file)
    }

    fn spawn(&self) -> Result<Child, String> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.log())
            .map_err(|error| format!("cannot open {}: {error}", self.log().display()))?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        Command::new("/proc/self/exe")
            .arg(BECOME_DAEMON)
            .arg(&self.daemon)
            .args(["--idle-exit", IDLE_EXIT_SECONDS])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.daemon.display()))
    }

    /// Waits until the daemon listens, or has died.
    fn wait(&self, child: &mut Child) -> Result<(), String> {
        let begun = Instant::now();
        let mut told = false;
        loop {
            if answers() {
                return Ok(());
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(self.died(&format!("{DAEMON} ended with {status}")));
            }
            if begun.elapsed() > START_LIMIT {
                return Err(self.died(&format!("{DAEMON} does not answer")));
            }
            if !told && begun.elapsed() > PATIENCE {
                told = true;
                output::note(format!("Waiting for {} to start", self.daemon.display()));
            }
            std::thread::sleep(POLL);
        }
    }

    fn died(&self, what: &str) -> String {
        let log = self.log();
        let tail = tail(&log).unwrap_or_default();
        format!("{what}. The end of its log, {}:\n{tail}", log.display())
    }
}

impl Launcher for Auto {
    fn refresh(&self) {
        if self.outdated().is_none() {
            return;
        }
        // Somebody else may be replacing it: look again with the lock held.
        let Ok(lock) = self.lock() else { return };
        if let Some(pid) = self.outdated()
            && kill_process(pid, Signal::TERM).is_ok()
        {
            let begun = Instant::now();
            while test_kill_process(pid).is_ok() && begun.elapsed() < START_LIMIT {
                std::thread::sleep(POLL);
            }
        }
        drop(lock);
    }

    fn launch(&self) -> Result<bool, String> {
        let lock = self.lock()?;
        if !answers() {
            let mut child = self.spawn()?;
            self.wait(&mut child)?;
            let mark = File::create(self.mark());
            mark.map_err(|error| format!("cannot write {}: {error}", self.mark().display()))?;
        }
        drop(lock);
        Ok(true)
    }
}

fn answers() -> bool {
    UnixStream::connect(SOCKET).is_ok()
}

/// The last lines of a file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(10);
    Ok(lines[from..].join("\n"))
}

/// This process, started by [`Auto::spawn`], turns into the daemon: in a session of its own, so
/// that neither the terminal's end nor its Ctrl-C reaches it. A process that has been forked but
/// not executed could do this only with unsafe code.
pub(crate) fn become_daemon(words: &[OsString]) -> ExitCode {
    let Some((daemon, flags)) = words.split_first() else { return ExitCode::FAILURE };
    let _ = setsid();
    let error = Command::new(daemon).args(flags).exec();
    output::note(format!("cannot execute {}: {error}", daemon.display()));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let lines: Vec<String> = (0..2000).map(|n| format!("line {n}")).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let shown = tail(&path).unwrap();
        assert_eq!(shown.lines().count(), 10);
        assert!(shown.ends_with("line 1999"));
    }

    #[test]
    fn a_daemon_that_was_not_started_by_us_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        std::fs::write(root.join("gantryd.pid"), std::process::id().to_string()).unwrap();
        let auto = Auto { daemon: root.join("gantryd"), root: root.clone() };
        assert_eq!(auto.outdated(), None);
        // With the mark, but the pid is of a program of another name.
        std::fs::write(root.join("gantryd.auto"), "").unwrap();
        std::fs::write(root.join("gantryd"), "").unwrap();
        assert_eq!(auto.outdated(), None);
    }
}
