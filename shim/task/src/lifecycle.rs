//! What takes a worker: making, changing and removing containers; and what follows when the worker
//! answers. Starting is `starting`'s, checkpoints are `checkpoints`'.

use crate::connection::Reply;
use crate::container::{Container, Restore};
use crate::delete::RuntimeRecord;
use crate::error::TaskError;
use crate::memory::MemoryWatch;
use crate::process::{Exit, Process, State};
use crate::runtime::Runtime;
use crate::server::Server;
use crate::service::{answer_error, io_of};
use crate::stdio::{Opened, Owner, Stdio, Uris};
use crate::worker::{Failure, Made, Worker};
use base_faults::{Step, reach, step};
use base_files::{Durability, replace};
use base_telemetry::logger::Level;
use contracts_shim_api::events::{TaskCreate, TaskDelete, TaskPaused, TaskResumed};
use contracts_shim_api::options::Options;
use contracts_shim_api::task::{CreateTaskRequest, CreateTaskResponse, DeleteResponse};
use contracts_shim_api::ttrpc::Response;
use contracts_shim_api::types::unpack;
use rustix::fd::{AsRawFd, RawFd};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

const STDIO_OPENED: &Step = step("shim.run.stdio-opened");
const CREATED: &Step = step("shim.run.container-created");

/// The exit status of what was killed: 128 + SIGKILL.
const KILLED: u32 = 137;

/// What to do with a worker's answer.
#[derive(Debug)]
pub(crate) enum Then {
    /// A container was to be made, with this init.
    Created(u32, Reply),
    /// An exec was to be started.
    Executed(u32, Reply),
    /// A created container was to be started.
    Started(u32, Reply),
    /// A container was to be frozen.
    Paused(u32, Reply),
    /// A container was to be thawed.
    Resumed(u32, Reply),
    /// A container was to be written to this folder.
    Checkpointed(u32, String, Reply),
    /// A container was to be made of a checkpoint, and runs.
    Restored(u32, Reply),
    /// A container was to be removed.
    Deleted(u32, Reply),
    /// The same, when the first worker died of it.
    DeletedAgain(u32, Reply),
    /// Something else was to be done, which this names in a refusal.
    Done(&'static str, Reply),
    /// Nobody waits for the answer.
    Nothing,
}

impl Then {
    /// The operation, for log lines.
    const fn name(&self) -> &'static str {
        match self {
            Self::Created(..) => "create",
            Self::Executed(..) => "exec",
            Self::Started(..) => "start",
            Self::Paused(..) => "pause",
            Self::Resumed(..) => "resume",
            Self::Checkpointed(..) => "checkpoint",
            Self::Restored(..) => "restore",
            Self::Deleted(..) | Self::DeletedAgain(..) => "delete",
            Self::Done(context, _) => context,
            Self::Nothing => "kill",
        }
    }
}

impl Server {
    /// Forks a worker for `job`; it keeps `keep` and the log open.
    pub(crate) fn launch(
        &mut self,
        mut keep: Vec<RawFd>,
        then: Then,
        job: impl FnOnce() -> Result<Made, Failure>,
    ) -> Result<(), TaskError> {
        keep.extend(self.config.log.descriptor());
        keep.extend(runtime_container::sealed_descriptor());
        keep.extend(base_faults::descriptor().map(|open| open.as_raw_fd()));
        let number = self.number();
        let what = then.name();
        let worker = Worker::launch(&self.reactor, number, keep, || {
            let began = Instant::now();
            let result = job();
            let micros = began.elapsed().as_micros().to_string();
            let error = result.as_ref().err().map_or("", |failure| failure.text.as_str());
            let fields =
                [("program", "runtime"), ("operation", what), ("us", &micros), ("error", error)];
            self.log_traced(Level::Debug, "worker done", &fields);
            if let Some(warning) = result.as_ref().ok().and_then(|made| made.warning.as_deref()) {
                self.log_traced(Level::Warning, warning, &fields[..2]);
            }
            result
        })?;
        self.workers.insert(number, (worker, then));
        Ok(())
    }

    /// `Create`.
    pub(crate) fn create(
        &mut self,
        request: CreateTaskRequest,
        reply: Reply,
    ) -> Result<(), TaskError> {
        if self.leaving.is_some() {
            return Err(TaskError::Leaving);
        }
        if self.containers.contains_key(&request.id) {
            return Err(TaskError::Exists(request.id));
        }
        let (options, runtime) = self.runtime_for(&request)?;
        let number = self.number();
        let uris = Uris {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        };
        let mut stdio = Stdio::new(number, uris)?;
        let owner = Owner { uid: options.io_uid, gid: options.io_gid };
        let opened = stdio.open(&self.reactor, owner)?;
        reach(STDIO_OPENED);
        let container = Container {
            init: number,
            execs: BTreeMap::new(),
            bundle: PathBuf::from(request.bundle),
            runtime,
            rootfs: request.rootfs,
            owner,
            namespaces: Vec::new(),
            shares_pids: false,
            attach: None,
            memory: None,
            restore: None,
        };
        if !request.checkpoint.is_empty() {
            let restore = Restore { image: PathBuf::from(request.checkpoint), options, opened };
            let container = Container { restore: Some(restore), ..container };
            return self.create_restored(&request.id, container, stdio, reply);
        }
        let keep = opened.descriptors();
        let namespace = self.config.namespace.clone();
        let runtime = container.runtime.traced(&self.trace);
        let mounts = container.rootfs.clone();
        let (bundle, id) = (container.bundle.clone(), request.id.clone());
        let job = move || {
            let Opened { theirs, logger } = opened;
            logger.map_or(Ok(()), |logger| logger.run(&id, &namespace))?;
            runtime.create(&bundle, &id, &mounts, theirs, &options)
        };
        let attachable = stdio.is_attachable();
        self.containers.insert(request.id.clone(), container);
        let process = Process::new(&request.id, "", State::Creating, stdio);
        self.processes.insert(number, process);
        let launched = if attachable { self.open_attach_socket(&request.id) } else { Ok(()) }
            .and_then(|()| self.launch(keep, Then::Created(number, reply), job));
        if launched.is_err() {
            self.forget(&request.id);
        }
        launched
    }

    /// The runtime that a request asks for, with its options.
    fn runtime_for(&self, request: &CreateTaskRequest) -> Result<(Options, Runtime), TaskError> {
        // Options of other shims are none of ours.
        let options: Options =
            request.options.as_ref().and_then(|any| unpack(any).ok()).unwrap_or_default();
        if !options.shim_cgroup.is_empty() {
            return Err(TaskError::Unimplemented("a cgroup for the shim"));
        }
        let root = match options.root.as_str() {
            "" => self.config.runtime_root.clone(),
            root => PathBuf::from(root).join(&self.config.namespace),
        };
        if root != self.config.runtime_root || !options.binary_name.is_empty() {
            RuntimeRecord::write(Path::new(&request.bundle), &options, &root)
                .map_err(TaskError::system("write the runtime's record"))?;
        }
        let runtime = Runtime::new(&options, root);
        Ok((options, runtime))
    }

    pub(crate) fn set_state(&mut self, number: u32, state: State) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.state = state;
        }
    }

    /// `Delete` of a container.
    pub(crate) fn delete(&mut self, number: u32, reply: Reply) -> Result<(), TaskError> {
        if self.is_being_checkpointed(number) {
            // What ends with a checkpoint the runtime removes by itself.
            self.deletes.push((number, reply));
            return Ok(());
        }
        let (runtime, id) = self.runtime_of(number)?;
        let process = self.processes.get_mut(&number).ok_or(TaskError::NoContainer)?;
        let exit = match process.state {
            State::Stopped(exit) => exit,
            // Never started: the runtime kills it.
            State::Created { .. } => Exit::at_once(KILLED),
            _ => return Err(process.state.refuse("delete")),
        };
        let before = std::mem::replace(&mut process.state, State::Deleting(exit));
        let container = self.containers.get_mut(&id).ok_or(TaskError::NoContainer)?;
        let bundle = container.bundle.clone();
        // The worker takes the namespaces with it, so that their tear-down delays only its exit.
        let namespaces = std::mem::take(&mut container.namespaces);
        let keep = namespaces.iter().map(AsRawFd::as_raw_fd).collect();
        let job = move || runtime.delete(&bundle, &id);
        let launched = self.launch(keep, Then::Deleted(number, reply), job);
        if launched.is_err() {
            self.set_state(number, before);
        }
        launched
    }

    /// A worker that was killed leaves a removal half done, which can be gone on with. Nobody else
    /// would: who asked for it takes a refusal for the end of the task.
    fn delete_again(&mut self, number: u32, reply: Reply) {
        let launched = self.runtime_of(number).and_then(|(runtime, id)| {
            let bundle = self.containers.get(&id).ok_or(TaskError::NoContainer)?.bundle.clone();
            let job = move || runtime.delete(&bundle, &id);
            self.launch(Vec::new(), Then::DeletedAgain(number, reply), job)
        });
        if launched.is_err() {
            self.deleted(number, reply, Err(Failure::died()));
        }
    }

    /// A worker has answered, or died.
    pub(crate) fn on_worker(&mut self, number: u32) {
        let Some((worker, then)) = self.workers.remove(&number) else { return };
        let answered = worker.collect();
        let has_died = answered.is_none();
        let result = answered.unwrap_or_else(|| Err(Failure::died()));
        match then {
            Then::Created(init, reply) => self.created(init, reply, result),
            Then::Executed(exec, reply) => self.executed(exec, reply, result),
            Then::Started(init, reply) => self.started(init, reply, result),
            Then::Paused(init, reply) => self.frozen(init, reply, true, result),
            Then::Resumed(init, reply) => self.frozen(init, reply, false, result),
            Then::Checkpointed(init, path, reply) => self.checkpointed(init, path, reply, result),
            Then::Restored(init, reply) => self.restored(init, reply, result),
            Then::Deleted(init, reply) if has_died => self.delete_again(init, reply),
            Then::Deleted(init, reply) | Then::DeletedAgain(init, reply) => {
                self.deleted(init, reply, result);
            }
            Then::Done(context, reply) => {
                let response = match result {
                    Ok(made) => Response { status: None, payload: made.payload },
                    Err(failure) => answer_error(&failure.into_error(context)),
                };
                self.answer(reply, &response);
            }
            Then::Nothing => {}
        }
        // Children that ended while workers were under way are known now, or nobody's.
        for (pid, exit) in std::mem::take(&mut self.early) {
            match self.awaited(pid) {
                Some(number) => self.on_exit(number, exit),
                None if !self.workers.is_empty() => self.early.push((pid, exit)),
                None => {}
            }
        }
    }

    fn created(&mut self, number: u32, reply: Reply, result: Result<Made, Failure>) {
        let Some(process) = self.processes.get_mut(&number) else {
            return self.answer_gone(reply);
        };
        let id = process.container.clone();
        let made = match result.map_err(|failure| failure.into_error("OCI runtime create failed")) {
            Ok(made) => made,
            Err(error) => {
                self.forget(&id);
                return self.answer(reply, &answer_error(&error));
            }
        };
        let state = State::Created { waits_at_start: made.waits_at_start };
        if let Err(error) = self.take_in(number, made, state) {
            self.discard(&id);
            return self.answer(reply, &answer_error(&error));
        }
        reach(CREATED);
        self.tell_created(&id, reply);
    }

    /// Takes in an init that a worker has made.
    pub(crate) fn take_in(
        &mut self,
        number: u32,
        made: Made,
        state: State,
    ) -> Result<(), TaskError> {
        let process = self.processes.get_mut(&number).ok_or(TaskError::NoContainer)?;
        let container = self.containers.get_mut(&process.container);
        let container = container.ok_or(TaskError::NoContainer)?;
        process.state = state;
        process.pid = u32::try_from(made.pid).unwrap_or(0);
        process.pidfd = made.pidfd;
        container.namespaces = made.namespaces;
        container.shares_pids = made.shares_pids;
        container.memory = MemoryWatch::new(&self.reactor, number, process.pid);
        let (pid_file, pid) = (container.bundle.join("init.pid"), process.pid.to_string());
        let _ = replace(&pid_file, pid.as_bytes(), 0o644, Durability::Processes);
        let console = made.console.as_ref();
        console.map_or(Ok(()), |fd| process.stdio.connect_console(&self.reactor, fd))?;
        process.console = made.console;
        Ok(())
    }

    /// Tells everybody of a container that can be started.
    pub(crate) fn tell_created(&mut self, id: &str, reply: Reply) {
        let Some(container) = self.containers.get(id) else { return };
        let Some(process) = self.processes.get(&container.init) else { return };
        let checkpoint = container.restore.as_ref().map(|restore| &restore.image);
        let pid = process.pid;
        let event = TaskCreate {
            container_id: id.to_owned(),
            bundle: container.bundle.to_string_lossy().into_owned(),
            rootfs: container.rootfs.clone(),
            io: Some(io_of(process.stdio.uris())),
            checkpoint: checkpoint.map(|image| image.display().to_string()).unwrap_or_default(),
            pid,
        };
        self.publish(&event);
        self.answer(reply, &Response::of(&CreateTaskResponse { pid }));
    }

    fn frozen(&mut self, number: u32, reply: Reply, frozen: bool, result: Result<Made, Failure>) {
        let Some(process) = self.processes.get_mut(&number) else {
            return self.answer_gone(reply);
        };
        let container_id = process.container.clone();
        let response = match result {
            Ok(_) => Response::of(&()),
            Err(failure) => {
                let context =
                    if frozen { "OCI runtime pause failed" } else { "OCI runtime resume failed" };
                return self.answer(reply, &answer_error(&failure.into_error(context)));
            }
        };
        match process.state {
            State::Running if frozen => process.state = State::Paused,
            State::Paused if !frozen => process.state = State::Running,
            // It ended meanwhile.
            _ => {}
        }
        if frozen {
            self.publish(&TaskPaused { container_id });
        } else {
            self.publish(&TaskResumed { container_id });
        }
        self.answer(reply, &response);
    }

    fn deleted(&mut self, number: u32, reply: Reply, result: Result<Made, Failure>) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let State::Deleting(exit) = process.state else { return };
        if let Err(failure) = result {
            process.state = State::Stopped(exit);
            let error = failure.into_error("OCI runtime delete failed");
            return self.answer(reply, &answer_error(&error));
        }
        // Those who waited for a container that was never started.
        let waiters = std::mem::take(&mut process.waiters);
        let event = TaskDelete {
            container_id: process.container.clone(),
            pid: process.pid,
            exit_status: exit.status,
            exited_at: Some(exit.at),
            id: String::new(),
        };
        for waiter in waiters {
            self.answer(waiter, &Response::of(&exit.as_answer()));
        }
        self.forget(&event.container_id);
        self.publish(&event);
        let response = DeleteResponse {
            pid: event.pid,
            exit_status: event.exit_status,
            exited_at: event.exited_at,
        };
        self.answer(reply, &Response::of(&response));
    }

    /// Drops a container and its processes.
    pub(crate) fn forget(&mut self, id: &str) {
        let Some(container) = self.containers.remove(id) else { return };
        if container.attach.is_some() {
            let socket = container.bundle.join(contracts_shim_api::attach::SOCKET);
            let _ = std::fs::remove_file(socket);
        }
        let mut numbers: Vec<u32> = container.execs.into_values().collect();
        numbers.push(container.init);
        for number in numbers {
            self.drop_process(number);
        }
    }

    /// Drops a process: who still waits for it learns that it is gone, its output lingers.
    pub(crate) fn drop_process(&mut self, number: u32) {
        let Some(process) = self.processes.remove(&number) else { return };
        for waiter in process.waiters {
            self.answer_gone(waiter);
        }
        self.let_linger(number, process.stdio);
    }

    /// Drops a container that could be made and cannot be kept, and has it removed.
    fn discard(&mut self, id: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let (runtime, bundle) = (container.runtime.clone(), container.bundle.clone());
        let of = id.to_owned();
        if let Err(error) =
            self.launch(Vec::new(), Then::Nothing, move || runtime.delete(&bundle, &of))
        {
            let fields = [("id", id), ("error", &*error.to_string())];
            self.log(Level::Error, "remove a container that is of no use", &fields);
        }
        self.forget(id);
    }

    /// Answers a call whose process was deleted meanwhile.
    pub(crate) fn answer_gone(&mut self, reply: Reply) {
        self.answer(reply, &answer_error(&TaskError::NoContainer));
    }
}
