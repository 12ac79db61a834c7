//! The Task service, version 2 and 3: decodes requests, and answers those that take no worker.

use crate::connection::Reply;
use crate::container::Container;
use crate::error::TaskError;
use crate::lifecycle::Then;
use crate::process::{Process, State};
use crate::runtime::Runtime;
use crate::server::Server;
use crate::stats::metrics;
use crate::stdio::{Stdio, Uris};
use crate::worker::{Failure, Made};
use base_errors::{Chain, Classify, Kind};
use base_faults::{Step, reach, step};
use base_oci::runtime::Resources;
use base_telemetry::TRACEPARENT;
use base_telemetry::logger::Level;
use contracts_shim_api::events::{TaskExecAdded, TaskIo};
use contracts_shim_api::options::ProcessDetails;
use contracts_shim_api::task::{
    CloseIoRequest, ConnectRequest, ConnectResponse, CreateTaskRequest, DeleteRequest,
    DeleteResponse, ExecProcessRequest, KillRequest, Method, PauseRequest, PidsRequest,
    PidsResponse, ResizePtyRequest, ResumeRequest, SERVICE_V2, SERVICE_V3, ShutdownRequest,
    StartRequest, StateRequest, StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest,
};
use contracts_shim_api::ttrpc::{Frame, REQUEST, Request, Response};
use contracts_shim_api::types::{ProcessInfo, SPEC_TYPE_PREFIX, pack};
use prost::Message;
use prost_types::Any;
use rustix::fd::AsFd;
use rustix::termios::Winsize;

const EXEC_ADDED: &Step = step("shim.exec.process-added");
const SIGNALLED: &Step = step("shim.stop.signalled");

/// Calls of `Wait` that one process may have at a time.
const MAX_WAITERS: usize = 4096;
/// Highest signal number there is.
const MAX_SIGNAL: u32 = 64;

/// A request's answer.
enum Answer {
    /// Here it is.
    Now(Response),
    /// It comes with a worker's answer, or a process' end.
    Later,
}

impl Answer {
    fn of(message: &impl Message) -> Self {
        Self::Now(Response::of(message))
    }

    fn empty() -> Self {
        Self::Now(Response::default())
    }
}

/// An error as an answer.
pub(crate) fn answer_error(error: &TaskError) -> Response {
    Response::failure(error.kind(), Chain(error).to_string())
}

/// Stdio as events have it.
pub(crate) fn io_of(uris: &Uris) -> TaskIo {
    TaskIo {
        stdin: uris.stdin.clone(),
        stdout: uris.stdout.clone(),
        stderr: uris.stderr.clone(),
        terminal: uris.terminal,
    }
}

impl Server {
    /// A frame has come.
    pub(crate) fn on_request(&mut self, reply: Reply, frame: &Frame) {
        if frame.kind != REQUEST {
            return;
        }
        let response = match Request::decode(frame.body.as_slice()) {
            Ok(request) => match self.call(reply, &request) {
                Ok(Answer::Now(response)) => response,
                Ok(Answer::Later) => return,
                Err(error) => {
                    let text = Chain(&error).to_string();
                    let fields = [("method", request.method.as_str()), ("error", text.as_str())];
                    self.log_traced(Level::Debug, "request refused", &fields);
                    answer_error(&error)
                }
            },
            Err(error) => Response::failure(Kind::InvalidArgument, error.to_string()),
        };
        self.answer(reply, &response);
    }

    fn call(&mut self, reply: Reply, request: &Request) -> Result<Answer, TaskError> {
        let method = Method::from_name(&request.method)
            .filter(|_| [SERVICE_V2, SERVICE_V3].contains(&request.service.as_str()))
            .ok_or(TaskError::Unimplemented("this method"))?;
        let trace = request.header(TRACEPARENT).and_then(|text| text.parse().ok());
        self.trace = trace.unwrap_or_default();
        self.log_traced(Level::Debug, "request", &[("method", method.name())]);
        let payload = request.payload.as_slice();
        match method {
            Method::State => self.state(&decode(payload)?),
            Method::Create => {
                let request: CreateTaskRequest = decode(payload)?;
                self.create(request, reply).map(|()| Answer::Later)
            }
            Method::Start => {
                let request: StartRequest = decode(payload)?;
                let number = self.find(&request.id, &request.exec_id)?;
                self.start(number, reply).map(|()| Answer::Later)
            }
            Method::Delete => self.delete_process(&decode(payload)?, reply),
            Method::Pids => self.pids(&decode(payload)?, reply),
            Method::Pause => self.pause(&decode(payload)?, reply),
            Method::Resume => self.resume(&decode(payload)?, reply),
            Method::Checkpoint => self.checkpoint(decode(payload)?, reply).map(|()| Answer::Later),
            Method::Kill => self.kill(&decode(payload)?, reply),
            Method::Exec => self.exec(decode(payload)?),
            Method::ResizePty => self.resize(&decode(payload)?),
            Method::CloseIo => self.close_io(&decode(payload)?),
            Method::Update => self.update(&decode(payload)?, reply),
            Method::Wait => self.wait(&decode(payload)?, reply),
            Method::Stats => self.stats(&decode(payload)?, reply),
            Method::Connect => self.connect(&decode(payload)?),
            Method::Shutdown => Ok(self.shutdown(&decode(payload)?)),
        }
    }

    /// The number of a container's init, or of an exec.
    pub(crate) fn find(&self, id: &str, exec_id: &str) -> Result<u32, TaskError> {
        let container = self.container(id)?;
        if exec_id.is_empty() {
            return Ok(container.init);
        }
        let number = container.execs.get(exec_id).copied();
        number.ok_or_else(|| TaskError::NoProcess(exec_id.to_owned()))
    }

    fn container(&self, id: &str) -> Result<&Container, TaskError> {
        self.containers.get(id).ok_or(TaskError::NoContainer)
    }

    fn process(&mut self, id: &str, exec_id: &str) -> Result<(u32, &mut Process), TaskError> {
        let number = self.find(id, exec_id)?;
        let process = self.processes.get_mut(&number).ok_or(TaskError::NoContainer)?;
        Ok((number, process))
    }

    fn state(&mut self, request: &StateRequest) -> Result<Answer, TaskError> {
        let bundle = self.container(&request.id)?.bundle.to_string_lossy().into_owned();
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        Ok(Answer::of(&process.describe(&bundle)))
    }

    fn delete_process(
        &mut self,
        request: &DeleteRequest,
        reply: Reply,
    ) -> Result<Answer, TaskError> {
        let (number, process) = self.process(&request.id, &request.exec_id)?;
        if request.exec_id.is_empty() {
            return self.delete(number, reply).map(|()| Answer::Later);
        }
        let exit = match process.state {
            State::Stopped(exit) => Some(exit),
            State::Added(_) => None,
            _ => return Err(process.state.refuse("delete")),
        };
        let response = DeleteResponse {
            pid: process.pid,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at),
        };
        // No event: containerd's shim tells of the deletion of containers only.
        self.drop_process(number);
        if let Some(container) = self.containers.get_mut(&request.id) {
            container.execs.remove(&request.exec_id);
        }
        Ok(Answer::of(&response))
    }

    fn pids(&mut self, request: &PidsRequest, reply: Reply) -> Result<Answer, TaskError> {
        let (runtime, id) = self.runtime(&request.id)?;
        let container = self.container(&request.id)?;
        let execs: Vec<(u32, String)> = container
            .execs
            .iter()
            .filter_map(|(id, number)| Some((self.processes.get(number)?.pid, id.clone())))
            .collect();
        let list = move |runtime: &Runtime| {
            let details = |pid: u32| {
                let exec = execs.iter().find(|(exec, _)| *exec == pid);
                exec.map(|(_, id)| pack(&ProcessDetails { exec_id: id.clone() }))
            };
            let processes = runtime.processes(&id)?;
            let processes = processes
                .into_iter()
                .filter_map(|pid| u32::try_from(pid).ok())
                .map(|pid| ProcessInfo { pid, info: details(pid) })
                .collect();
            Ok(PidsResponse { processes })
        };
        self.query(runtime, "OCI runtime ps failed", reply, list)
    }

    fn pause(&mut self, request: &PauseRequest, reply: Reply) -> Result<Answer, TaskError> {
        let (number, process) = self.process(&request.id, "")?;
        if !matches!(process.state, State::Running) {
            return Err(process.state.refuse("pause"));
        }
        let (runtime, id) = self.runtime(&request.id)?;
        let job = move || runtime.pause(&id);
        self.launch(Vec::new(), Then::Paused(number, reply), job).map(|()| Answer::Later)
    }

    fn resume(&mut self, request: &ResumeRequest, reply: Reply) -> Result<Answer, TaskError> {
        let (number, process) = self.process(&request.id, "")?;
        if !matches!(process.state, State::Paused) {
            return Err(process.state.refuse("resume"));
        }
        let (runtime, id) = self.runtime(&request.id)?;
        let job = move || runtime.resume(&id);
        self.launch(Vec::new(), Then::Resumed(number, reply), job).map(|()| Answer::Later)
    }

    fn kill(&mut self, request: &KillRequest, reply: Reply) -> Result<Answer, TaskError> {
        let signal = i32::try_from(request.signal).ok().filter(|_| request.signal <= MAX_SIGNAL);
        let signal = signal
            .ok_or_else(|| TaskError::Invalid(format!("unknown signal {}", request.signal)))?;
        let is_restored_later = self.container(&request.id)?.restore.is_some();
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        // Told that it is gone, containerd's clients would wait for its end.
        let unborn = is_restored_later
            || matches!(process.state, State::Creating | State::Added(_) | State::Starting(_));
        if unborn && process.pidfd.is_none() {
            return Err(process.state.refuse("kill"));
        }
        let paused = matches!(process.state, State::Paused);
        let all = request.all && request.exec_id.is_empty();
        if !all {
            let pidfd = process.pidfd.as_ref().filter(|_| process.state.is_alive());
            let pidfd = pidfd.ok_or(TaskError::Finished)?;
            if !paused {
                match kernel_sys::signals::send(pidfd.as_fd(), signal) {
                    Ok(()) => reach(SIGNALLED),
                    Err(kernel_sys::Errno::SRCH) => return Err(TaskError::Finished),
                    Err(errno) => return Err(TaskError::system("send a signal")(errno)),
                }
                return Ok(Answer::empty());
            }
        }
        let (runtime, id) = self.runtime(&request.id)?;
        // A frozen process of cgroup v1 dies when it is thawed: the runtime's kill does that. It sends the
        // signal, too: one of cgroup v2 would have died of ours, and the runtime found nobody.
        let job = move || runtime.kill(&id, signal, all);
        self.launch(Vec::new(), Then::Done("OCI runtime kill failed", reply), job)
            .map(|()| Answer::Later)
    }

    fn exec(&mut self, request: ExecProcessRequest) -> Result<Answer, TaskError> {
        let is_absent = self.container(&request.id)?.restore.is_some();
        let (_, init) = self.process(&request.id, "")?;
        if is_absent || !matches!(init.state, State::Created { .. } | State::Running) {
            return Err(TaskError::State { verb: "exec in", state: init.state.name() });
        }
        if request.exec_id.is_empty() || request.exec_id == request.id {
            return Err(TaskError::Invalid(format!("exec id {:?}", request.exec_id)));
        }
        if self.find(&request.id, &request.exec_id).is_ok() {
            return Err(TaskError::Exists(request.exec_id));
        }
        let spec = spec_json(request.spec, "Process")?;
        let number = self.number();
        let uris = Uris {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        };
        let stdio = Stdio::new(number, uris)?;
        if stdio.is_attachable() {
            self.open_attach_socket(&request.id)?;
        }
        let process = Process::new(&request.id, &request.exec_id, State::Added(spec), stdio);
        self.processes.insert(number, process);
        if let Some(container) = self.containers.get_mut(&request.id) {
            container.execs.insert(request.exec_id.clone(), number);
        }
        reach(EXEC_ADDED);
        self.publish(&TaskExecAdded { container_id: request.id, exec_id: request.exec_id });
        Ok(Answer::empty())
    }

    fn resize(&mut self, request: &ResizePtyRequest) -> Result<Answer, TaskError> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        let Some(console) = &process.console else {
            return match process.state {
                State::Stopped(_) | State::Draining(_) | State::Deleting(_) => {
                    Err(process.state.refuse("resize"))
                }
                // No terminal, or not yet: as in containerd, no error.
                _ => Ok(Answer::empty()),
            };
        };
        let cells = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
        let (ws_col, ws_row) = (cells(request.width), cells(request.height));
        let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(console, size)
            .map_err(TaskError::system("set the terminal's size"))?;
        Ok(Answer::empty())
    }

    fn close_io(&mut self, request: &CloseIoRequest) -> Result<Answer, TaskError> {
        let number = self.find(&request.id, &request.exec_id)?;
        if request.stdin
            && let Some(process) = self.processes.get_mut(&number)
        {
            process.stdio.close_stdin(&mut self.reactor);
        }
        Ok(Answer::empty())
    }

    fn update(&mut self, request: &UpdateTaskRequest, reply: Reply) -> Result<Answer, TaskError> {
        let (_, process) = self.process(&request.id, "")?;
        if !matches!(process.state, State::Created { .. } | State::Running | State::Paused) {
            return Err(process.state.refuse("update"));
        }
        let json = spec_json(request.resources.clone(), "LinuxResources")?;
        let resources: Resources = serde_json::from_slice(&json)
            .map_err(|error| TaskError::Invalid(format!("resources: {error}")))?;
        let (runtime, id) = self.runtime(&request.id)?;
        let job = move || runtime.update(&id, &resources);
        self.launch(Vec::new(), Then::Done("OCI runtime update failed", reply), job)
            .map(|()| Answer::Later)
    }

    fn wait(&mut self, request: &WaitRequest, reply: Reply) -> Result<Answer, TaskError> {
        let (_, process) = self.process(&request.id, &request.exec_id)?;
        let Some(exit) = process.state.exit() else {
            if process.waiters.len() >= MAX_WAITERS {
                return Err(TaskError::Waiters);
            }
            process.waiters.push(reply);
            return Ok(Answer::Later);
        };
        Ok(Answer::of(&exit.as_answer()))
    }

    fn stats(&mut self, request: &StatsRequest, reply: Reply) -> Result<Answer, TaskError> {
        let (runtime, id) = self.runtime(&request.id)?;
        let figures = move |runtime: &Runtime| {
            let stats = runtime.stats(&id)?;
            Ok(StatsResponse { stats: Some(metrics(&stats)) })
        };
        self.query(runtime, "OCI runtime stats failed", reply, figures)
    }

    /// Asks the runtime something, in a worker where that may wait.
    fn query<M: Message>(
        &mut self,
        runtime: Runtime,
        context: &'static str,
        reply: Reply,
        ask: impl FnOnce(&Runtime) -> Result<M, Failure>,
    ) -> Result<Answer, TaskError> {
        if !runtime.is_slow() {
            let answer = ask(&runtime).map_err(|failure| failure.into_error(context))?;
            return Ok(Answer::of(&answer));
        }
        let job = move || Ok(Made { payload: ask(&runtime)?.encode_to_vec(), ..Made::default() });
        self.launch(Vec::new(), Then::Done(context, reply), job).map(|()| Answer::Later)
    }

    fn connect(&mut self, request: &ConnectRequest) -> Result<Answer, TaskError> {
        let (_, process) = self.process(&request.id, "")?;
        Ok(Answer::of(&ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: process.pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    /// Leaves when no container is left, whatever the caller says: `now` from one of a group would
    /// end the others. (containerd's shim does the same.)
    fn shutdown(&mut self, _: &ShutdownRequest) -> Answer {
        if self.containers.is_empty() {
            self.leave();
        }
        Answer::empty()
    }

    /// The runtime of a container, for the request in hand.
    pub(crate) fn runtime(&self, id: &str) -> Result<(Runtime, String), TaskError> {
        Ok((self.container(id)?.runtime.traced(&self.trace), id.to_owned()))
    }
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, TaskError> {
    M::decode(payload).map_err(|error| TaskError::Invalid(error.to_string()))
}

/// The JSON of a runtime-spec object in an `Any`.
fn spec_json(any: Option<Any>, name: &str) -> Result<Vec<u8>, TaskError> {
    let any = any.ok_or_else(|| TaskError::Invalid(format!("no {name} in the request")))?;
    if any.type_url.strip_prefix(SPEC_TYPE_PREFIX) != Some(name) {
        return Err(TaskError::Invalid(format!("{:?} is no {name}", any.type_url)));
    }
    Ok(any.value)
}
