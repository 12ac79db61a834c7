//! Starting the daemon: only where no host or context was named, nothing listens, and we are root.
//!
//! Two clients at once start one daemon: whoever gets the lock starts it, the other waits for the
//! lock and finds it listening. The mark file has the pid of the daemon that was started in this way;
//! only that one is replaced when the binary beside this program is another than the one that runs
//! (containers go on, the new daemon adopts them).

use client_commands::output;
use client_http::Launcher;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, setsid};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
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

    /// A daemon that we started and whose binary is no longer the one beside us.
    fn outdated(&self) -> Option<OwnedFd> {
        let mark = std::fs::symlink_metadata(self.mark()).ok()?;
        if !mark.is_file() || mark.uid() != 0 {
            return None;
        }
        let pid = std::fs::read_to_string(self.root.join("gantryd.pid")).ok()?;
        // Another one that was started since, by hand or by the machine's init, is not ours.
        if std::fs::read_to_string(self.mark()).ok()?.trim() != pid.trim() {
            return None;
        }
        let pid: i32 = pid.trim().parse().ok()?;
        // Opened before the checks: a process that gets this pid later is not the one signalled.
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // Follows the link even where its target has been deleted: the inode of what runs.
        let running = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        let beside = std::fs::metadata(&self.daemon).ok()?;
        let same = (running.dev(), running.ino()) == (beside.dev(), beside.ino());
        let name = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        // The pid may be another program's by now.
        let ours = name.to_string_lossy().trim_end_matches(" (deleted)").ends_with(DAEMON);
        (!same && ours).then_some(process)
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
        if let Some(process) = self.outdated()
            && pidfd_send_signal(&process, Signal::TERM).is_ok()
            && !ends(&process)
        {
            output::note(format!(
                "The daemon of an older build did not end within {START_LIMIT:?}"
            ));
        }
        drop(lock);
    }

    fn launch(&self) -> Result<bool, String> {
        let lock = self.lock()?;
        if !answers() {
            let mut child = self.spawn()?;
            self.wait(&mut child)?;
            let mark = std::fs::write(self.mark(), child.id().to_string());
            mark.map_err(|error| format!("cannot write {}: {error}", self.mark().display()))?;
        }
        drop(lock);
        Ok(true)
    }
}

/// Waits for a process' end, which a pidfd tells by being readable (pidfd_open(2)).
fn ends(process: &OwnedFd) -> bool {
    let limit = Timespec::try_from(START_LIMIT).expect("seconds fit a timespec");
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&limit)), Ok(1..))
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
    fn only_the_daemon_that_was_started_from_here_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        // A daemon of another build: it runs, and another file lies beside this program.
        let other = root.join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::copy("/bin/sleep", other.join("gantryd")).unwrap();
        let mut daemon = Command::new(other.join("gantryd")).arg("1000").spawn().unwrap();
        std::fs::write(root.join("gantryd"), "").unwrap();
        let auto = Auto { daemon: root.join("gantryd"), root: root.clone() };
        let says = |file: &str, pid: u32| std::fs::write(root.join(file), pid.to_string()).unwrap();
        says("gantryd.pid", daemon.id());
        assert!(auto.outdated().is_none(), "without a mark");
        says("gantryd.auto", daemon.id() + 1);
        assert!(auto.outdated().is_none(), "the mark is of an earlier daemon");
        says("gantryd.auto", daemon.id());
        let process = auto.outdated();
        daemon.kill().unwrap();
        let process = process.expect("marked, and of another build");
        assert!(ends(&process), "a process that nobody has reaped yet has ended");
        daemon.wait().unwrap();
        says("gantryd.pid", std::process::id());
        says("gantryd.auto", std::process::id());
        assert!(auto.outdated().is_none(), "a program of another name");
    }
}
