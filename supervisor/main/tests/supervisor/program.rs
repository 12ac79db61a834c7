//! A supervisor under test, with directories of its own.

use contracts_supervisor_api::channel;
use contracts_supervisor_api::metadata::CallContext;
use contracts_supervisor_api::tonic::Request;
use contracts_supervisor_api::tonic::transport::Channel;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// One supervisor; killed when dropped.
pub(crate) struct Program {
    home: tempfile::TempDir,
    child: Child,
    pub(crate) channel: Channel,
}

impl Program {
    /// A new one on new directories.
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (child, channel) = launch(home.path()).await;
        Self { home, child, channel }
    }

    /// SIGKILL, and another one on the same directories.
    pub(crate) async fn replace(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (child, channel) = launch(self.home.path()).await;
        (self.child, self.channel) = (child, channel);
    }

    /// SIGTERM; waits for its end.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// A message in the namespace `test`.
    #[expect(clippy::unused_self, reason = "reads as what it is: a request to this program")]
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        CallContext::new("test").unwrap().request(message)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn launch(home: &Path) -> (Child, Channel) {
    let state = home.join("state");
    let log = std::fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_gantry-supervisor"))
        .arg("--root")
        .arg(home.join("root"))
        .arg("--state")
        .arg(&state)
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let socket = state.join("containerd.sock");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match channel::connect(&socket).await {
            Ok(channel) => return (child, channel),
            Err(error) => assert!(Instant::now() < deadline, "supervisor does not serve: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a condition holds.
pub(crate) async fn wait_for(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
