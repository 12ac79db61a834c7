//! A bundle with a busybox root, and the built program that runs it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tests_harness::bundle::configuration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gantry-runtime");
const APPLETS: [&str; 22] = [
    "sh", "true", "false", "cat", "echo", "id", "ls", "mkdir", "sleep", "touch", "tty", "stty",
    "hostname", "grep", "rmdir", "chroot", "ip", "mknod", "readlink", "dd", "test", "kill",
];

/// What the tests' processes may do.
const CAPABILITIES: [&str; 5] = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD"];

/// A bundle of its own folder, id, state root and cgroup, all removed with it.
pub(crate) struct Bundle {
    folder: tempfile::TempDir,
    /// The container's id.
    pub(crate) id: String,
    /// `config.json`, written when a command is run.
    pub(crate) config: Value,
    /// What runs the runtime: nothing, or a program with arguments that becomes somebody else.
    pub(crate) caller: Vec<String>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code.
    pub(crate) code: i32,
    /// Stdout.
    pub(crate) out: String,
    /// Stderr.
    pub(crate) err: String,
}

impl Bundle {
    /// A container that runs this shell script.
    pub(crate) fn script(script: &str) -> Self {
        Self::program(&["sh", "-c", script])
    }

    /// A container that runs this program.
    pub(crate) fn program(args: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let root = folder.path().join("rootfs");
        for name in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox"))
            .expect("the package busybox-static is installed");
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        let config = configuration(args, &format!("/{GROUP}/{id}"), &CAPABILITIES);
        Self { folder, id, config, caller: Vec::new() }
    }

    /// The bundle's folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The container's root file system on the host.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// The folder of containers' state.
    pub(crate) fn state_root(&self) -> PathBuf {
        self.path().join("state")
    }

    /// A command line of the runtime.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        // At once: another command may be reading it.
        let (path, text) = (self.path().join("config.json"), self.config.to_string());
        base_files::replace(&path, text.as_bytes(), 0o644, base_files::Durability::Processes)
            .unwrap();
        let mut command = match self.caller.split_first() {
            None => Command::new(program()),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest);
                command
            }
        };
        command.arg("--root").arg(self.state_root()).args(args).current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command of the runtime; `ID` stands for the container's id.
    pub(crate) fn runtime(&self, args: &[&str]) -> Ended {
        let args: Vec<&str> =
            args.iter().map(|arg| if *arg == "ID" { self.id.as_str() } else { arg }).collect();
        // A file, not a pipe: a container that lives on would keep a pipe open.
        let (out, err) = (self.path().join("out"), self.path().join("err"));
        let status = self
            .command(&args)
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(&err).unwrap())
            .status()
            .unwrap();
        Ended {
            code: status.code().unwrap_or(-1),
            out: std::fs::read_to_string(out).unwrap(),
            err: std::fs::read_to_string(err).unwrap(),
        }
    }

    /// As [`Bundle::runtime`], for a command that must succeed; its stdout.
    pub(crate) fn succeed(&self, args: &[&str]) -> String {
        let ended = self.runtime(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.out
    }

    /// Runs the whole container; its stdout.
    pub(crate) fn run(&self) -> String {
        self.succeed(&["run", "ID"])
    }

    /// The container's status.
    pub(crate) fn status(&self) -> String {
        let state: Value = serde_json::from_str(&self.succeed(&["state", "ID"])).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    /// Waits until the container has this status.
    pub(crate) fn wait_for_status(&self, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = self.status();
            if status == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "waiting for {wanted}, it is {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The container's folders in every cgroup hierarchy.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let folder = hierarchy.path().join(GROUP).join(&self.id);
            if folder.is_dir() {
                found.push(folder);
            }
        }
        let unified = Path::new("/sys/fs/cgroup").join(GROUP).join(&self.id);
        if unified.is_dir() {
            found.push(unified);
        }
        found
    }

    /// Fails when anything of the container is left on the host.
    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let folder = self.path().to_str().unwrap();
        assert!(!mounts.contains(folder), "a mount is left below {folder}");
        let left: Vec<_> = std::fs::read_dir(self.state_root()).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.runtime(&["delete", "--force", "ID"]);
        // The parent goes with the last of its containers; until then it is busy.
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(hierarchy.path().join(GROUP));
        }
    }
}

/// The runtime; another where one is named, to prove the tests themselves on.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("TEST_RUNTIME").unwrap_or_else(|| PROGRAM.into()).into()
}

/// Parent of the tests' cgroups.
const GROUP: &str = "gantry-runtime-tests";
