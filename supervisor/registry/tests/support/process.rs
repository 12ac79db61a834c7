//! The supervisor of images in a process of its own, which can be killed, and whose disk can be
//! full.

use crate::supervisor::{Client, NAMESPACE, Supervisor};
use base_faults::Step;
use contracts_supervisor_api::channel::connect;
use contracts_supervisor_api::services::images::Image;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use supervisor_metadata::{Config, Store};
use tests_harness::wait::until;

/// Says where the process has its files.
const ROOT: &str = "IMAGES_ROOT";
/// The name of the ignored test that is the process.
const PROGRAM: &str = "serve_until_killed";
/// How long it may take to start and to die.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the process runs.
pub(crate) async fn serve() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let hidden = root.join("socket.new");
    let stall = Duration::from_secs(60);
    let supervisor = Supervisor::start_at(&hidden, &Process::data(&root), stall).await;
    std::fs::rename(hidden, root.join("socket")).expect("name the socket");
    std::future::pending::<()>().await;
    drop(supervisor);
}

/// A running process; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    root: PathBuf,
    pub(crate) client: Client,
}

impl Process {
    /// Where a process with this root keeps its data.
    pub(crate) fn data(root: &Path) -> PathBuf {
        root.join("data")
    }

    /// Starts it.
    pub(crate) async fn start(root: &Path) -> Self {
        let program = std::env::current_exe().expect("the test's own path");
        Self::run(Command::new(program), root).await
    }

    /// Starts it on a disk of this size.
    pub(crate) async fn start_on_disk(root: &Path, kibibytes: u32) -> Self {
        let mut command = Command::new("unshare");
        let script = r#"mount -t tmpfs -o "size=$1k" disk "$2" && shift 2 && exec "$@""#;
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
        command.arg(kibibytes.to_string()).arg(Self::data(root));
        command.arg(std::env::current_exe().expect("the test's own path"));
        Self::run(command, root).await
    }

    async fn run(mut command: Command, root: &Path) -> Self {
        std::fs::create_dir_all(root.join("data")).expect("make the data root");
        std::fs::create_dir_all(root.join("faults")).expect("make the directory of faults");
        let mut child = command
            .args(["--exact", PROGRAM, "--ignored", "--nocapture"])
            .env(ROOT, root)
            .env(base_faults::VARIABLE, root.join("faults"))
            .stdout(Stdio::null())
            .spawn()
            .expect("start the process");
        let socket = root.join("socket");
        until("the process to listen", PATIENCE, || match child.try_wait() {
            Ok(Some(status)) => panic!("the process ended: {status}"),
            _ if socket.exists() => Ok(()),
            _ => Err("no socket".to_owned()),
        });
        let client = Client { channel: connect(&socket).await.expect("connect") };
        Self { child, root: root.to_owned(), client }
    }

    /// Has the process die when it next reaches the step.
    pub(crate) fn arm(&self, step: &Step) {
        std::fs::write(self.root.join("faults").join(step.name), "").expect("arm a step");
    }

    /// Whether it died there.
    pub(crate) fn reached(&self, step: &Step) -> bool {
        self.root.join("faults").join(format!("{}.reached", step.name)).exists()
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its disk as it sees it.
    pub(crate) fn disk(&self) -> PathBuf {
        let root = format!("/proc/{}/root{}", self.child.id(), self.root.display());
        Self::data(Path::new(&root))
    }

    /// Gives its disk another size.
    pub(crate) fn resize(&self, kibibytes: u32) {
        let status = Command::new("nsenter")
            .args(["--mount", "--target", &self.child.id().to_string()])
            .args(["mount", "-o", &format!("remount,size={kibibytes}k")])
            .arg(Self::data(&self.root))
            .status();
        assert!(status.expect("run nsenter").success(), "the disk cannot be resized");
    }

    /// The image of this name, as a copy of its index has it.
    pub(crate) fn image(&self, name: &str) -> Option<Image> {
        // One that is written meanwhile may not be whole.
        until("a whole copy of the index", Duration::from_secs(60), || {
            let copy = tempfile::TempDir::new().expect("a temporary directory");
            let index = copy.path().join("metadata.redb");
            std::fs::copy(self.disk().join("metadata.redb"), &index).expect("copy the index");
            let state = copy.path().join("state");
            let records = Store::open(&Config { index, state, described: Vec::new() });
            let found = records.and_then(|records| records.find(NAMESPACE, name));
            found.map_err(|error| error.to_string())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
