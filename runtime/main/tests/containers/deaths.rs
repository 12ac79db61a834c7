//! The runtime, the container's process, and whoever called the runtime are killed at each step of
//! its hand-shake. The state stays true, everything can be removed, and the id can be used again.

use crate::bundle::Bundle;
use crate::wait_for;
use base_faults::{GO_ON, Operation, Program, STEPS, Step};
use rustix::fs::{CWD, FileType, Mode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Who dies when a step is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// The process that reached it, at once.
    Itself,
    /// The runtime that reached it, when its child waits for more or has ended.
    Late,
    /// The runtime's parent.
    Caller,
    /// The other side of the hand-shake: the container's process, or the runtime.
    Other,
    /// The container's init, during an exec or a checkpoint, or when it is being restored.
    Container,
}

#[test]
fn anybody_may_die_during_create() {
    let victims = [Victim::Itself, Victim::Late, Victim::Caller, Victim::Other];
    at_each_step_of(Operation::Create, &victims);
}

#[test]
fn anybody_may_die_during_start() {
    at_each_step_of(Operation::Start, &[Victim::Itself, Victim::Caller, Victim::Other]);
}

#[test]
fn anybody_may_die_during_run() {
    at_each_step_of(Operation::Run, &[Victim::Itself, Victim::Caller, Victim::Other]);
}

#[test]
fn anybody_may_die_during_exec() {
    let victims = [Victim::Itself, Victim::Late, Victim::Caller, Victim::Other, Victim::Container];
    at_each_step_of(Operation::Exec, &victims);
}

#[test]
fn anybody_may_die_during_delete() {
    at_each_step_of(Operation::Delete, &[Victim::Itself, Victim::Caller, Victim::Other]);
}

#[test]
#[ignore = "wants a CRIU that knows the kernel: tests/vm has both"]
fn anybody_may_die_during_checkpoint() {
    let victims = [Victim::Itself, Victim::Other, Victim::Caller, Victim::Container];
    at_each_step_of(Operation::Checkpoint, &victims);
}

#[test]
#[ignore = "wants a CRIU that knows the kernel: tests/vm has both"]
fn anybody_may_die_during_the_checkpoint_of_a_paused_container() {
    for step in STEPS.iter().filter(|step| step.operation == Operation::Checkpoint) {
        for victim in [Victim::Itself, Victim::Other] {
            eprintln!("{}: {victim:?}, paused", step.name);
            Scene { is_paused: true, ..Scene::new(step) }.play(victim);
        }
    }
}

#[test]
#[ignore = "wants a CRIU that knows the kernel: tests/vm has both"]
fn the_runtime_or_its_caller_may_die_during_restore() {
    at_each_step_of(Operation::Restore, &[Victim::Itself, Victim::Caller]);
}

#[test]
#[ignore = "wants a CRIU that knows the kernel: tests/vm has both"]
fn criu_or_what_it_makes_may_die_during_restore() {
    at_each_step_of(Operation::Restore, &[Victim::Other, Victim::Container]);
}

/// Its maker is killed, and it takes its time to end: a container that waits to be started it is not.
///
/// A pid namespace's first process has not ended before all others there have been waited for
/// (pid_namespaces(7)), and the parent of one that joined it may be stopped.
#[test]
fn what_a_killed_maker_left_is_not_called_created() {
    let step = STEPS.iter().find(|step| step.name == "runtime.create.attached").unwrap();
    let scene = Scene::new(step);
    let hold = scene.arm(Victim::Late);
    let mut caller = scene.call();
    let reached = scene.faults.join(format!("{}.reached", step.name));
    wait_for(step.name, || reached.exists().then_some(()));
    let runtime = children(caller.id())[0];
    let child = children(runtime.cast_unsigned())[0];
    wait_for("the child to wait", || waits(child).then_some(()));
    let mut joiner = Command::new("nsenter");
    joiner.args(["--target", &child.to_string(), "--pid", "sleep", "1000"]);
    let mut joiner = joiner.spawn().unwrap();
    let own_namespace = std::fs::read_link(format!("/proc/{child}/ns/pid")).unwrap();
    let joined = wait_for("somebody who joined it", || {
        children(joiner.id()).into_iter().find(|pid| {
            std::fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|of| of == own_namespace)
        })
    });
    let joiner_pid = Pid::from_child(&joiner);
    kill_process(joiner_pid, Signal::STOP).unwrap();
    kill_process(Pid::from_raw(runtime).unwrap(), Signal::KILL).unwrap();
    scene.settle(&mut caller, Some(runtime));
    drop(hold);
    wait_for("its end with the first", || (!lives(joined)).then_some(()));
    let ending = (scene.state(), scene.bundle.runtime(&["start", "ID"]), lives(child));
    kill_process(joiner_pid, Signal::CONT).unwrap();
    joiner.wait().unwrap();
    wait_for("the child's end", || (!lives(child)).then_some(()));
    let (state, started, lived) = ending;
    assert!(lived, "nothing kept it from ending");
    assert_eq!(state.unwrap()["status"], "creating");
    assert!(started.err.contains("creating"), "{started:?}");
    std::fs::remove_file(&reached).unwrap();
    let status = scene.true_status();
    assert_eq!(status.as_deref(), Some("stopped"));
    scene.can_be_removed(status.as_deref());
    scene.can_be_made_again();
}

fn at_each_step_of(operation: Operation, victims: &[Victim]) {
    let is_unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let is_ours = |step: &&Step| {
        matches!(step.program, Program::Runtime | Program::Init)
            && step.operation == operation
            // Only where the child is born into its cgroup is something made before it.
            && (step.name != "runtime.create.record-written" || is_unified)
    };
    for step in STEPS.iter().filter(is_ours) {
        // A child that waits for nothing does not stay for a dead runtime.
        let has_late = step.program == Program::Runtime;
        for victim in victims.iter().filter(|victim| has_late || **victim != Victim::Late) {
            eprintln!("{}: {victim:?}", step.name);
            Scene::new(step).play(*victim);
        }
    }
}

/// A container whose runtime passes an armed step.
struct Scene {
    bundle: Bundle,
    faults: PathBuf,
    step: &'static Step,
    /// Whether the container is frozen before.
    is_paused: bool,
}

/// The folder of a checkpoint, from which all are restored.
fn image() -> &'static Path {
    static IMAGE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let scene = Scene::new(base_faults::step("runtime.restore.folder-made"));
        let image = tempfile::tempdir().unwrap();
        scene.succeed(&["create", "ID"]);
        scene.succeed(&["start", "ID"]);
        scene.goes_on();
        scene.succeed(&["checkpoint", "--image-path", image.path().to_str().unwrap(), "ID"]);
        image
    });
    image.path()
}

impl Scene {
    fn new(step: &'static Step) -> Self {
        // It leaves a mark when its program runs.
        let ends = match step.operation {
            Operation::Run => "",
            Operation::Checkpoint | Operation::Restore => "; while :; do sleep 0.1; done",
            _ => "; sleep 1000",
        };
        let mut bundle = Bundle::script(&format!(": > /ran{ends}"));
        // Without hooks the container's process gets ahead of the runtime.
        if step.name.contains("hooks") {
            let hook = json!([{"path": "/bin/true"}]);
            bundle.config["hooks"] =
                json!({"createRuntime": hook, "createContainer": hook, "startContainer": hook});
        }
        let faults = bundle.path().join("faults");
        std::fs::create_dir(&faults).unwrap();
        Self { bundle, faults, step, is_paused: false }
    }

    fn play(&self, victim: Victim) {
        let bundle = &self.bundle;
        if self.step.operation == Operation::Delete {
            // So that there is a container's end to be waited for.
            std::fs::write(bundle.rootfs().join("ran"), "").unwrap();
        }
        match self.step.operation {
            Operation::Create | Operation::Run => {}
            Operation::Restore => drop(image()),
            Operation::Start => self.succeed(&["create", "ID"]),
            _ => {
                self.succeed(&["create", "ID"]);
                self.succeed(&["start", "ID"]);
            }
        }
        if self.step.operation == Operation::Checkpoint {
            self.goes_on();
        }
        if self.is_paused {
            self.succeed(&["pause", "ID"]);
        }
        let hold = self.arm(victim);
        let mut caller = self.call();
        let reached = self.faults.join(format!("{}.reached", self.step.name));
        wait_for(self.step.name, || reached.exists().then_some(()));
        let runtime = children(caller.id()).into_iter().next();
        // Of one that is being restored the runtime says so when nothing is missing but its word.
        if hold.is_some() && self.step.operation != Operation::Restore {
            self.says_running_only_if_it_runs();
        }
        if victim == Victim::Late {
            wait_for("the child to wait", || {
                children(runtime?.cast_unsigned()).iter().all(|pid| waits(*pid)).then_some(())
            });
        }
        let target = self.find(victim, &caller, runtime);
        if let Some(target) = target {
            let _ = kill_process(Pid::from_raw(target).unwrap(), Signal::KILL);
        }
        if let Some(mut hold) = hold.map(File::from) {
            hold.write_all(GO_ON.as_bytes()).unwrap();
            // It is kept until nobody needs it any more.
            self.settle(&mut caller, runtime);
        } else {
            self.settle(&mut caller, runtime);
        }
        if let Some(target) = target {
            wait_for("the victim's end", || (!lives(target)).then_some(()));
        }
        if matches!(self.step.operation, Operation::Checkpoint | Operation::Restore) {
            // CRIU notices that nobody listens any more, and undoes what it did.
            wait_for("CRIU's end", || self.users().is_empty().then_some(()));
        }
        std::fs::remove_file(&reached).unwrap();
        let status = self.true_status();
        self.can_be_removed(status.as_deref());
        self.can_be_made_again();
    }

    /// Arms the step: its passer dies, or waits.
    fn arm(&self, victim: Victim) -> Option<OwnedFd> {
        let path = self.faults.join(self.step.name);
        if victim == Victim::Itself {
            std::fs::write(path, "").unwrap();
            return None;
        }
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        Some(rustix::fs::open(path, flags, Mode::empty()).unwrap())
    }

    /// Has a process that can be killed call the runtime.
    fn call(&self) -> Child {
        let id = self.bundle.id.as_str();
        let pid_file = self.bundle.path().join("pid");
        let args = match self.step.operation {
            Operation::Create => vec!["create", "--pid-file", pid_file.to_str().unwrap(), id],
            Operation::Start => vec!["start", id],
            Operation::Run => vec!["run", id],
            Operation::Exec => vec!["exec", "--pid-file", pid_file.to_str().unwrap(), id, "true"],
            Operation::Delete => vec!["delete", "--force", id],
            Operation::Checkpoint => vec!["checkpoint", "--image-path", "image", id],
            Operation::Restore => {
                let (image, pid_file) = (image().to_str().unwrap(), pid_file.to_str().unwrap());
                vec!["restore", "-d", "--image-path", image, "--pid-file", pid_file, id]
            }
            _ => panic!("not the runtime's"),
        };
        let runtime = self.bundle.command(&args);
        let mut caller = Command::new("/bin/sh");
        caller.args(["-c", "\"$@\"; exit $?", "sh"]).arg(runtime.get_program());
        caller.args(runtime.get_args()).current_dir(self.bundle.path());
        caller.env(base_faults::VARIABLE, &self.faults);
        let null = || Stdio::null();
        caller.stdin(null()).stdout(null()).stderr(null()).spawn().unwrap()
    }

    fn succeed(&self, args: &[&str]) {
        let args: Vec<&str> = args
            .iter()
            .map(|arg| if *arg == "ID" { self.bundle.id.as_str() } else { arg })
            .collect();
        let mut command = self.bundle.command(&args);
        command.env(base_faults::VARIABLE, &self.faults);
        // Nothing that CRIU would not know what to do with.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "{}: {args:?}", self.step.name);
    }

    /// The process to be killed; nothing where it is dead already, or not there yet.
    fn find(&self, victim: Victim, caller: &Child, runtime: Option<i32>) -> Option<i32> {
        let init = || self.record().and_then(|record| record["pid"].as_i64()).map(|pid| pid as i32);
        match victim {
            Victim::Itself => None,
            Victim::Late => runtime,
            Victim::Caller => i32::try_from(caller.id()).ok(),
            Victim::Container => init().filter(|pid| *pid > 0),
            Victim::Other if self.step.program == Program::Init => runtime,
            Victim::Other => match self.step.operation {
                Operation::Start | Operation::Delete => init(),
                _ => children(runtime?.cast_unsigned()).into_iter().next(),
            }
            .filter(|pid| *pid > 0),
        }
    }

    /// The processes that have something in the bundle's folder open: the runtime its state, CRIU that
    /// or the checkpoint.
    fn users(&self) -> Vec<i32> {
        let own = std::process::id().cast_signed();
        let uses = |pid: &i32| {
            let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            open.filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .any(|path| path.starts_with(self.bundle.path()))
        };
        all_processes().filter(|pid| *pid != own && uses(pid)).collect()
    }

    /// Waits until caller and runtime have ended.
    fn settle(&self, caller: &mut Child, runtime: Option<i32>) {
        wait_for("the caller's end", || caller.try_wait().unwrap());
        if let Some(runtime) = runtime {
            wait_for("the runtime's end", || (!lives(runtime)).then_some(()));
        }
    }

    fn record(&self) -> Option<Value> {
        let path = self.bundle.state_root().join(&self.bundle.id).join("state.json");
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// The state document; nothing when there is no container.
    fn state(&self) -> Option<Value> {
        let ended = self.bundle.runtime(&["state", "ID"]);
        if ended.code != 0 {
            assert!(ended.err.contains("container does not exist"), "{ended:?}");
            return None;
        }
        Some(serde_json::from_str(&ended.out).unwrap())
    }

    /// What the container has come to; nothing when there is none.
    fn true_status(&self) -> Option<String> {
        let (bundle, step) = (&self.bundle, self.step.name);
        let settled = wait_for("a state that stays", || {
            let state = self.state();
            state.as_ref().is_none_or(|state| self.stays(state)).then_some(state)
        });
        let state = settled?;
        let status = state["status"].as_str().unwrap();
        match (status, self.step.operation) {
            ("running", Operation::Checkpoint | Operation::Restore) => self.goes_on(),
            ("running", _) => self.has_run(),
            _ => {}
        }
        let pid = state["pid"].as_i64().unwrap();
        assert_eq!(pid == 0, status == "stopped", "{step}: {state}");
        if self.step.operation == Operation::Exec && status == "running" {
            bundle.succeed(&["exec", "ID", "true"]);
        }
        if matches!(self.step.operation, Operation::Create | Operation::Restore)
            && let Ok(written) = std::fs::read_to_string(bundle.path().join("pid"))
            && pid != 0
        {
            assert_eq!(written, pid.to_string(), "{step}");
        }
        Some(status.to_owned())
    }

    /// Whether it is neither on its way to something else, nor names a process that is not the
    /// container's, as one that is about to end is not.
    fn stays(&self, state: &Value) -> bool {
        let Some(pid) = state["pid"].as_i64().filter(|pid| *pid != 0).map(|pid| pid as i32) else {
            return state["status"] == "stopped";
        };
        let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        // Who was ready when its maker was killed waits to be deleted; who was told to go goes.
        let is_under_way = state["status"] == "creating" || state["status"] == "created";
        cgroup.contains(&self.bundle.id) && (!is_under_way || is_in(pid, &[ACCEPT4]))
    }

    fn says_running_only_if_it_runs(&self) {
        if self.state().is_some_and(|state| state["status"] == "running") {
            self.has_run();
        }
    }

    fn has_run(&self) {
        let mark = self.bundle.rootfs().join("ran");
        wait_for("the program's mark", || mark.exists().then_some(()));
    }

    /// It is not only alive, but does what it did before: has one child after the other.
    fn goes_on(&self) {
        let init = self.record().and_then(|record| record["pid"].as_u64()).unwrap();
        let child = || children(u32::try_from(init).unwrap());
        let before = child();
        wait_for("the program to go on", || (child() != before).then_some(()));
    }

    /// Without force where it does not run; and then nothing is left.
    fn can_be_removed(&self, status: Option<&str>) {
        match status {
            None => {}
            Some("paused") => {
                self.succeed(&["resume", "ID"]);
                self.goes_on();
            }
            Some("running") => {
                let refused = self.bundle.runtime(&["delete", "ID"]);
                // It may have ended meanwhile.
                let is_refused = refused.err.contains("that is not stopped: running");
                assert!(is_refused || refused.code == 0, "{refused:?}");
            }
            Some(_) => drop(self.bundle.succeed(&["delete", "ID"])),
        }
        if status.is_some() {
            self.bundle.succeed(&["delete", "--force", "ID"]);
            self.bundle.assert_nothing_is_left();
        }
        wait_for("all processes' end", || {
            let left = self.processes();
            if left.is_empty() {
                return Some(());
            }
            eprintln!("{}: left: {left:?}", self.step.name);
            None
        });
        for entry in std::fs::read_dir(self.bundle.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let known = ["config.json", "rootfs", "state", "faults", "out", "err", "pid", "image"];
            // A pid file that was being written when its writer was killed has such a name.
            let is_known = known.contains(&name.as_str()) || name.starts_with(".pid.");
            assert!(is_known, "{}: {name} is left", self.step.name);
        }
    }

    /// Also what was cut short before there was a record is in nobody's way.
    fn can_be_made_again(&self) {
        let _ = std::fs::remove_file(self.bundle.rootfs().join("ran"));
        self.succeed(&["create", "ID"]);
        assert_eq!(self.bundle.status(), "created");
        self.succeed(&["start", "ID"]);
        wait_for("the program", || self.bundle.rootfs().join("ran").exists().then_some(()));
        self.bundle.succeed(&["delete", "--force", "ID"]);
        self.bundle.assert_nothing_is_left();
    }

    /// Every process that belongs to the container or its runtime.
    fn processes(&self) -> Vec<i32> {
        let folder = self.bundle.path().to_str().unwrap();
        let id = self.bundle.id.as_str();
        let names = |pid: i32, file: &str, text: &str| {
            std::fs::read(format!("/proc/{pid}/{file}"))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
        };
        let own = std::process::id().cast_signed();
        all_processes()
            .filter(|pid| *pid != own && lives(*pid) && !is_kernels(*pid))
            .filter(|pid| {
                names(*pid, "cgroup", &format!("/{id}"))
                    || names(*pid, "cmdline", &format!("{folder}/"))
                    || names(*pid, "mountinfo", folder)
            })
            .collect()
    }
}

fn all_processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields after the program's name in `/proc/PID/stat`.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn lives(pid: i32) -> bool {
    stat(pid).is_some_and(|fields| !matches!(fields[0].as_str(), "Z" | "X"))
}

/// Whether it is a thread of the kernel's, a child of `kthreadd` if not that itself.
fn is_kernels(pid: i32) -> bool {
    const KTHREADD: i32 = 2;
    pid == KTHREADD || stat(pid).is_some_and(|fields| fields[1] == KTHREADD.to_string())
}

/// Whether a process of the hand-shake waits for a word or a connection, or has ended.
fn waits(pid: i32) -> bool {
    !lives(pid) || is_in(pid, &[RECVMSG, ACCEPT4])
}

const RECVMSG: &str = "47";
const ACCEPT4: &str = "288";

/// Whether a process is in one of these system calls.
fn is_in(pid: i32, calls: &[&str]) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    call.split(' ').next().is_some_and(|number| calls.contains(&number))
}

/// Those of a process of one thread (proc_pid_task_children(5)).
fn children(parent: u32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    children.unwrap_or_default().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
