//! A bundle with a busybox root, and the runtime that runs it: what the replays start from.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tests_harness::bundle::configuration;

/// What the replays' processes may do.
const CAPABILITIES: [&str; 8] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// A bundle with its own folder, id, state root and cgroup; all of it goes with the value.
pub struct Bundle {
    folder: tempfile::TempDir,
    /// The container's id.
    pub id: String,
    /// `config.json`, written before every command.
    pub config: Value,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Bundle {
    /// A container that runs a shell script.
    ///
    /// # Panics
    /// The bundle cannot be made.
    #[must_use]
    pub fn script(script: &str) -> Self {
        Self::program(&["sh", "-c", script])
    }

    /// A container that runs a program.
    ///
    /// # Panics
    /// The bundle cannot be made.
    #[must_use]
    pub fn program(args: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("r{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder =
            tempfile::Builder::new().prefix("gantry-replay-").tempdir().expect("temporary folder");
        let config = configuration(args, &format!("/gantry-replay-{id}"), &CAPABILITIES);
        let bundle = Self { config, id, folder };
        let root = bundle.rootfs();
        for name in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
            fs::create_dir_all(root.join(name)).expect("create folder");
        }
        fs::create_dir(bundle.outside()).expect("create folder");
        fs::copy("/bin/busybox", root.join("bin/busybox"))
            .expect("copy busybox (apt-get install busybox-static)");
        let _ = tests_harness::output_of(Command::new("chroot").arg(&root).args([
            "/bin/busybox",
            "--install",
            "-s",
            "/bin",
        ]));
        bundle
    }

    /// The bundle's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The container's root file system, as the host sees it.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// An empty folder of the host beside the root, which no container may reach.
    #[must_use]
    pub fn outside(&self) -> PathBuf {
        self.path().join("outside")
    }

    /// A link's target that leads from anywhere in the root to [`Bundle::outside`], if it is not
    /// followed inside the root.
    #[must_use]
    pub fn way_out(&self) -> PathBuf {
        Path::new("../../../../../../../../..")
            .join(self.outside().strip_prefix("/").expect("temporary folders are absolute"))
    }

    /// Adds a mount to the configuration.
    ///
    /// # Panics
    /// The configuration has no list of mounts.
    pub fn add_mount(&mut self, destination: &str, fstype: &str, source: &Path, options: &[&str]) {
        self.config["mounts"].as_array_mut().expect("a list of mounts").push(json!({
            "destination": destination, "type": fstype, "source": source, "options": options,
        }));
    }

    /// Takes the mounts of `/dev` out of the configuration, so that devices are made in the image.
    ///
    /// # Panics
    /// The configuration has no list of mounts.
    pub fn leave_dev_to_image(&mut self) {
        let mounts = self.config["mounts"].as_array_mut().expect("a list of mounts");
        mounts
            .retain(|mount| !mount["destination"].as_str().unwrap_or_default().starts_with("/dev"));
    }

    /// Replaces a file or folder of the root by a link.
    ///
    /// # Panics
    /// The file cannot be replaced.
    pub fn link(&self, path: &str, target: &Path) {
        let place = self.rootfs().join(path);
        let _ = fs::remove_dir_all(&place);
        let _ = fs::remove_file(&place);
        symlink(target, place).expect("make a link");
    }

    /// A command line of the runtime, `ID` standing for the container's id.
    ///
    /// # Panics
    /// The configuration cannot be written.
    #[must_use]
    pub fn command(&self, program: &Path, args: &[&str]) -> Command {
        // At once: another command may be reading it.
        let (path, text) = (self.path().join("config.json"), self.config.to_string());
        base_files::replace(&path, text.as_bytes(), 0o644, base_files::Durability::Processes)
            .expect("write config.json");
        let mut command = Command::new(program);
        command
            .arg("--root")
            .arg(self.path().join("state"))
            .args(args.iter().map(|arg| if *arg == "ID" { self.id.as_str() } else { arg }))
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the runtime.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn runtime(&self, args: &[&str]) -> Ended {
        self.end_of(self.command(&runtime(), args))
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn end_of(&self, mut command: Command) -> Ended {
        // Files, not pipes: a container that lives on would keep a pipe open.
        let out = tempfile::NamedTempFile::new_in(self.path()).expect("temporary file");
        let err = tempfile::NamedTempFile::new_in(self.path()).expect("temporary file");
        let open = |file: &tempfile::NamedTempFile| File::create(file.path()).expect("open");
        let status =
            command.stdout(open(&out)).stderr(open(&err)).status().expect("start the runtime");
        let read = |file: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&fs::read(file.path()).expect("read")).into_owned()
        };
        Ended { code: status.code().unwrap_or(-1), out: read(&out), err: read(&err) }
    }

    /// As [`Bundle::runtime`], for a command that must succeed; its output.
    ///
    /// # Panics
    /// It fails.
    pub fn succeed(&self, args: &[&str]) -> String {
        let ended = self.runtime(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.out
    }

    /// The container's init, as the host numbers it.
    ///
    /// # Panics
    /// The container is not there.
    #[must_use]
    pub fn pid(&self) -> u64 {
        let state: Value =
            serde_json::from_str(&self.succeed(&["state", "ID"])).expect("a state document");
        state["pid"].as_u64().expect("a number")
    }

    /// Runs the container to its end, which need not be a good one, and removes what is left.
    #[must_use]
    pub fn run(&self) -> Ended {
        let ended = self.runtime(&["run", "ID"]);
        let _ = self.runtime(&["delete", "--force", "ID"]);
        ended
    }

    /// Fails when something reached the folder that no container may reach.
    ///
    /// # Panics
    /// When something did.
    pub fn assert_nothing_came_out(&self) {
        let found: Vec<_> = fs::read_dir(self.outside())
            .expect("read folder")
            .flatten()
            .map(|e| e.path())
            .collect();
        assert!(found.is_empty(), "outside the root: {found:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read mounts");
        let folder = self.path().display().to_string();
        assert!(!mounts.contains(&folder), "mounted on the host below {folder}:\n{mounts}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.runtime(&["delete", "--force", "ID"]);
    }
}

/// The runtime's program.
#[must_use]
pub fn runtime() -> PathBuf {
    tests_harness::program("gantry-runtime")
}
