//! Tasks of a stock shim, through the supervisor's death and the shim's.

use crate::program::{Program, wait_for};
use contracts_supervisor_api::Any;
use contracts_supervisor_api::any::{PROCESS, SPEC};
use contracts_supervisor_api::services::containers::containers_client::ContainersClient;
use contracts_supervisor_api::services::containers::{
    Container, CreateContainerRequest, container::Runtime,
};
use contracts_supervisor_api::services::tasks::tasks_client::TasksClient;
use contracts_supervisor_api::services::tasks::{
    CreateTaskRequest, DeleteProcessRequest, DeleteTaskRequest, ExecProcessRequest, GetRequest,
    KillRequest, ListPidsRequest, ListTasksRequest, MetricsRequest, StartRequest, WaitRequest,
};
use contracts_supervisor_api::tonic::Code;
use contracts_supervisor_api::tonic::transport::Channel;
use contracts_supervisor_api::types::{Mount, Status};
use std::path::{Path, PathBuf};

const KILL: u32 = 9;

/// A supervisor with a root file system for containers.
struct Story {
    program: Program,
    root: tempfile::TempDir,
}

impl Story {
    async fn begin() -> Self {
        let root = tempfile::tempdir().unwrap();
        for directory in ["bin", "proc"] {
            std::fs::create_dir(root.path().join(directory)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.path().join("bin/busybox")).unwrap();
        Self { program: Program::start().await, root }
    }

    fn tasks(&self) -> TasksClient<Channel> {
        TasksClient::new(self.program.channel.clone())
    }

    fn bundle(&self, id: &str) -> PathBuf {
        self.program.state().join("tasks/test").join(id)
    }

    /// A container record of this command.
    async fn describe(&self, id: &str, runtime: &str, command: &[&str]) {
        self.describe_in_group(id, runtime, command, id).await;
    }

    /// The same, for a shim that it shares with others of its group.
    async fn describe_in_group(&self, id: &str, runtime: &str, command: &[&str], group: &str) {
        let spec = serde_json::json!({
            "ociVersion": "1.0.2",
            "process": process(command),
            "annotations": {"io.containerd.runc.v2.group": group},
            "root": {"path": "rootfs"},
            "hostname": id,
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "cgroupsPath": format!("/gantry-supervisor-test-{}-{id}", std::process::id()),
                "namespaces": [
                    {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
                    {"type": "network"}
                ],
            },
        });
        let container = Container {
            id: id.to_owned(),
            runtime: Some(Runtime { name: runtime.to_owned(), options: None }),
            spec: Some(Any { type_url: SPEC.to_owned(), value: spec.to_string().into_bytes() }),
            ..Container::default()
        };
        let request = CreateContainerRequest { container: Some(container) };
        let mut client = ContainersClient::new(self.program.channel.clone());
        client.create(self.program.request(request)).await.unwrap();
    }

    fn new_task(&self, id: &str) -> CreateTaskRequest {
        let options = ["rbind", "rw"].map(str::to_owned).to_vec();
        let source = self.root.path().display().to_string();
        CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs: vec![Mount { r#type: "bind".into(), source, target: String::new(), options }],
            ..CreateTaskRequest::default()
        }
    }

    /// A running container.
    async fn run(&self, id: &str, command: &[&str]) -> u32 {
        self.run_in_group(id, command, id).await
    }

    async fn run_in_group(&self, id: &str, command: &[&str], group: &str) -> u32 {
        self.describe_in_group(id, "io.containerd.runc.v2", command, group).await;
        let mut tasks = self.tasks();
        tasks.create(self.program.request(self.new_task(id))).await.unwrap();
        let start = StartRequest { container_id: id.to_owned(), exec_id: String::new() };
        tasks.start(self.program.request(start)).await.unwrap().into_inner().pid
    }

    async fn kill(&self, id: &str) {
        self.try_kill(id).await.unwrap();
    }

    async fn try_kill(&self, id: &str) -> Result<(), tonic::Status> {
        let request = KillRequest { container_id: id.into(), signal: KILL, ..Default::default() };
        self.tasks().kill(self.program.request(request)).await.map(drop)
    }

    async fn wait(&self, id: &str, exec_id: &str) -> u32 {
        let request = WaitRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        self.tasks().wait(self.program.request(request)).await.unwrap().into_inner().exit_status
    }

    async fn delete(&self, id: &str) -> u32 {
        let request = DeleteTaskRequest { container_id: id.to_owned() };
        self.tasks().delete(self.program.request(request)).await.unwrap().into_inner().exit_status
    }

    async fn status(&self, id: &str) -> Result<Status, Code> {
        let request = GetRequest { container_id: id.to_owned(), exec_id: String::new() };
        let answer = self.tasks().get(self.program.request(request)).await;
        answer.map(|got| got.into_inner().process.unwrap().status()).map_err(|s| s.code())
    }

    async fn wait_for_status(&self, id: &str, wanted: Status) {
        wait_for("status", async || self.status(id).await == Ok(wanted)).await;
    }

    /// Nothing is left of the task, and of its name.
    async fn is_gone(&self, id: &str) {
        assert_eq!(self.status(id).await, Err(Code::NotFound));
        wait_for("the bundle's end", async || !self.bundle(id).exists()).await;
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&self.bundle(id).display().to_string()));
    }

    fn shim_pid(&self, id: &str) -> Option<rustix::process::Pid> {
        let address =
            format!("-address\0{}\0", self.program.state().join("containerd.sock").display());
        let wanted = format!("-id\0{id}\0");
        let found = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
            let line = String::from_utf8(line.ok()?).ok()?;
            // Its own helpers have these words, too.
            let is_helper = line.ends_with("start\0") || line.ends_with("delete\0");
            (line.contains(&wanted) && line.contains(&address) && !is_helper).then_some(pid)
        });
        rustix::process::Pid::from_raw(found?)
    }
}

/// What a failed test left: its containers would be in the way of the next run's.
impl Drop for Story {
    fn drop(&mut self) {
        let bundles = std::fs::read_dir(self.program.state().join("tasks/test"));
        for bundle in bundles.into_iter().flatten().flatten() {
            let id = bundle.file_name().into_string().unwrap_or_default();
            if let Some(shim) = self.shim_pid(&id) {
                let _ = rustix::process::kill_process(shim, rustix::process::Signal::KILL);
            }
            let mut runc = std::process::Command::new("runc");
            runc.args(["--root", "/run/containerd/runc/test", "delete", "-f", &id]);
            let _ = runc.status();
            let flags = rustix::mount::UnmountFlags::DETACH;
            let _ = rustix::mount::unmount(bundle.path().join("rootfs"), flags);
        }
    }
}

/// An id that no other run of these tests has: runc keeps its containers in one place.
fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn process(command: &[&str]) -> serde_json::Value {
    let args: Vec<&str> = ["/bin/busybox"].iter().chain(command).copied().collect();
    serde_json::json!({
        "args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
        "terminal": false,
    })
}

#[tokio::test]
async fn a_container_runs_execs_and_ends_with_its_status() {
    let story = Story::begin().await;
    let c = unique("runs");
    let c = c.as_str();
    story.run(c, &["sleep", "1000"]).await;
    assert_eq!(story.status(c).await, Ok(Status::Running));
    let (mut tasks, program) = (story.tasks(), &story.program);
    let spec = process(&["sh", "-c", "exit 7"]).to_string().into_bytes();
    let exec = ExecProcessRequest {
        container_id: c.into(),
        exec_id: "e".into(),
        spec: Some(Any { type_url: PROCESS.to_owned(), value: spec }),
        ..ExecProcessRequest::default()
    };
    tasks.exec(program.request(exec)).await.unwrap();
    let start = StartRequest { container_id: c.into(), exec_id: "e".into() };
    tasks.start(program.request(start)).await.unwrap();
    assert_eq!(story.wait(c, "e").await, 7);
    let delete = DeleteProcessRequest { container_id: c.into(), exec_id: "e".into() };
    let deleted = tasks.delete_process(program.request(delete)).await.unwrap().into_inner();
    assert_eq!((deleted.id.as_str(), deleted.exit_status), ("e", 7));

    let pids = ListPidsRequest { container_id: c.into() };
    assert_eq!(
        tasks.list_pids(program.request(pids)).await.unwrap().into_inner().processes.len(),
        1
    );
    // Debian's shim tells none where a cgroup v2 is mounted beside v1; the call is answered.
    tasks.metrics(program.request(MetricsRequest::default())).await.unwrap();
    let running = DeleteTaskRequest { container_id: c.into() };
    tasks.delete(program.request(running)).await.unwrap_err();
    assert_eq!(story.status(c).await, Ok(Status::Running));

    let waiting = story.wait(c, "");
    story.kill(c).await;
    assert_eq!(waiting.await, 137);
    assert_eq!(story.delete(c).await, 137);
    // The name is free at once, though the first shim may still be leaving.
    tasks.create(program.request(story.new_task(c))).await.unwrap();
    assert_eq!(story.status(c).await, Ok(Status::Created));
    story.kill(c).await;
    story.wait(c, "").await;
    story.delete(c).await;
    story.is_gone(c).await;
    let list = tasks.list(program.request(ListTasksRequest::default())).await.unwrap();
    assert!(list.into_inner().tasks.is_empty());
}

#[tokio::test]
async fn a_killed_supervisors_containers_are_adopted_with_what_they_did_meanwhile() {
    let mut story = Story::begin().await;
    let (on, ends) = (&unique("on"), &unique("ends"));
    story.run(on, &["sleep", "1000"]).await;
    story.run(ends, &["sh", "-c", "sleep 0.2; exit 5"]).await;
    let first = story.status(on).await;
    story.program.replace().await;
    assert_eq!(story.status(on).await, first);
    assert_eq!(story.wait(ends, "").await, 5);
    assert_eq!(story.delete(ends).await, 5);
    story.is_gone(ends).await;
    story.kill(on).await;
    assert_eq!(story.wait(on, "").await, 137);
    story.delete(on).await;
    story.is_gone(on).await;
}

#[tokio::test]
async fn a_dead_shims_container_is_ended_and_its_status_kept_until_collected() {
    let mut story = Story::begin().await;
    let c = unique("dies");
    let c = c.as_str();
    let pid = story.run(c, &["sleep", "1000"]).await;
    let waiting = story.wait(c, "");
    rustix::process::kill_process(story.shim_pid(c).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    // Whoever comes before the burial is over is told what will be true after it.
    let late = story.try_kill(c).await.unwrap_err();
    assert_eq!(late.message(), "process already finished: not found");
    assert_eq!(waiting.await, 137);
    story.wait_for_status(c, Status::Stopped).await;
    wait_for("the init's end", async || !Path::new(&format!("/proc/{pid}")).exists()).await;
    story.program.replace().await;
    assert_eq!(story.status(c).await, Ok(Status::Stopped));
    assert_eq!(story.wait(c, "").await, 137);
    assert_eq!(story.delete(c).await, 137);
    story.is_gone(c).await;
}

#[tokio::test]
async fn tasks_of_a_group_share_a_shim_until_the_last_is_deleted() {
    let mut story = Story::begin().await;
    let (first, second) = (&unique("pod"), &unique("member"));
    story.run_in_group(first, &["sleep", "1000"], first).await;
    story.run_in_group(second, &["sleep", "1000"], first).await;
    let address = |id: &str| std::fs::read_to_string(story.bundle(id).join("address")).unwrap();
    assert_eq!(address(first), address(second));
    let socket = PathBuf::from(address(first).trim().trim_start_matches("unix://"));
    story.kill(second).await;
    story.wait(second, "").await;
    story.delete(second).await;
    story.is_gone(second).await;
    story.program.replace().await;
    assert_eq!(story.status(first).await, Ok(Status::Running));
    story.kill(first).await;
    story.wait(first, "").await;
    story.delete(first).await;
    story.is_gone(first).await;
    wait_for("the shim's end", async || !socket.exists()).await;
    assert!(!story.program.log().contains("shim does not leave"));
}

#[tokio::test]
async fn a_task_that_cannot_be_made_leaves_nothing() {
    let story = Story::begin().await;
    story.describe("no-shim", "io.containerd.nonesuch.v1", &["true"]).await;
    let mut tasks = story.tasks();
    let refused = tasks.create(story.program.request(story.new_task("no-shim"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("containerd-shim-nonesuch-v1"), "{refused}");
    story.describe("no-root", "io.containerd.runc.v2", &["true"]).await;
    let mut request = story.new_task("no-root");
    request.rootfs[0].source = "/nonesuch".into();
    assert!(tasks.create(story.program.request(request)).await.is_err());
    for id in ["no-shim", "no-root"] {
        story.is_gone(id).await;
    }
    let missing = tasks.create(story.program.request(story.new_task("none"))).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}
