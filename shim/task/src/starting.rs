//! `Start`: letting a container's init go on, or making an exec.
//!
//! An init of the linked runtime without hooks takes no worker: it is told to go on, and its socket
//! tells what became of it. That may take long too, where init was stopped or its program lies on
//! a file system that hangs.

use crate::connection::Reply;
use crate::error::TaskError;
use crate::lifecycle::Then;
use crate::process::{Exit, State};
use crate::reactor::Source;
use crate::runtime::{Runtime, release, start_result};
use crate::server::Server;
use crate::service::answer_error;
use crate::stdio::Opened;
use crate::worker::{Failure, Made};
use base_faults::{Step, reach, step};
use contracts_shim_api::events::{TaskExecStarted, TaskStart};
use contracts_shim_api::task::StartResponse;
use contracts_shim_api::ttrpc::Response;
use rustix::event::epoll::EventFlags;
use rustix::process::{Signal, pidfd_send_signal};

const STARTED: &Step = step("shim.run.container-started");
const EXEC_STARTED: &Step = step("shim.exec.process-started");

impl Server {
    /// `Start`.
    pub(crate) fn start(&mut self, number: u32, reply: Reply) -> Result<(), TaskError> {
        let process = self.processes.get_mut(&number).ok_or(TaskError::NoContainer)?;
        match std::mem::replace(&mut process.state, State::Starting(None)) {
            State::Created { waits_at_start } => {
                let started = self.start_init(number, waits_at_start, reply);
                if started.is_err() {
                    self.set_state(number, State::Created { waits_at_start });
                }
                started
            }
            State::Added(spec) => {
                let started = self.start_exec(number, spec, reply);
                if started.is_err() {
                    self.stop_unstarted(number);
                }
                started
            }
            other => {
                let refusal = other.refuse("start");
                process.state = other;
                Err(refusal)
            }
        }
    }

    fn start_init(&mut self, number: u32, hooks: bool, reply: Reply) -> Result<(), TaskError> {
        if self.start_restored(number, reply)? {
            return Ok(());
        }
        let (runtime, id) = self.runtime_of(number)?;
        match runtime.linked_root() {
            // No worker: init is only let go, and tells by itself what became of it.
            Some(root) if !hooks => match release(root, &id) {
                Ok(socket) => {
                    let socket = self.reactor.watch(socket, Source::Start(number), EventFlags::IN);
                    self.starts.insert(number, (socket, reply));
                }
                Err(failure) => self.started(number, reply, Err(failure)),
            },
            _ => {
                let job = move || runtime.start(&id);
                self.launch(Vec::new(), Then::Started(number, reply), job)?;
            }
        }
        Ok(())
    }

    /// An init that was let go has told what became of it.
    pub(crate) fn on_start(&mut self, number: u32) {
        let Some((socket, reply)) = self.starts.remove(&number) else { return };
        self.started(number, reply, start_result(&socket));
    }

    fn start_exec(&mut self, number: u32, spec: Vec<u8>, reply: Reply) -> Result<(), TaskError> {
        let (runtime, id) = self.runtime_of(number)?;
        let owner = self.containers.get(&id).map(|container| container.owner).unwrap_or_default();
        let process = self.processes.get_mut(&number).ok_or(TaskError::NoContainer)?;
        let opened = process.stdio.open(&self.reactor, owner)?;
        let terminal = process.stdio.uris().terminal;
        let namespace = self.config.namespace.clone();
        let keep = opened.descriptors();
        let job = move || {
            let Opened { theirs, logger } = opened;
            logger.map_or(Ok(()), |logger| logger.run(&id, &namespace))?;
            runtime.exec(&id, &spec, terminal, theirs)
        };
        self.launch(keep, Then::Executed(number, reply), job)
    }

    /// The runtime of a process' container, for the request in hand, and the container's id.
    pub(crate) fn runtime_of(&self, number: u32) -> Result<(Runtime, String), TaskError> {
        let process = self.processes.get(&number).ok_or(TaskError::NoContainer)?;
        self.runtime(&process.container)
    }

    /// An init was let go, or could not be.
    pub(crate) fn started(&mut self, number: u32, reply: Reply, result: Result<Made, Failure>) {
        let Some(process) = self.processes.get_mut(&number) else {
            return self.answer_gone(reply);
        };
        let early = match process.state {
            State::Starting(exit) => exit,
            _ => None,
        };
        // Also after a failure: the init process is there until it is killed.
        process.state = State::Running;
        let (pid, container_id) = (process.pid, process.container.clone());
        match result {
            Ok(_) => {
                reach(STARTED);
                self.publish(&TaskStart { container_id, pid });
                self.answer(reply, &Response::of(&StartResponse { pid }));
            }
            Err(failure) => {
                if early.is_none() {
                    process.state = State::Created { waits_at_start: false };
                }
                let error = failure.into_error("OCI runtime start failed");
                self.answer(reply, &answer_error(&error));
            }
        }
        if let Some(exit) = early {
            self.on_exit(number, exit);
        }
    }

    /// An exec runs, or could not be started.
    pub(crate) fn executed(&mut self, number: u32, reply: Reply, result: Result<Made, Failure>) {
        let Some(process) = self.processes.get_mut(&number) else {
            // Its container was deleted meanwhile.
            if let Ok(Made { pidfd: Some(pidfd), .. }) = &result {
                let _ = pidfd_send_signal(pidfd, Signal::KILL);
            }
            return self.answer_gone(reply);
        };
        let made = match result.map_err(|failure| failure.into_error("OCI runtime exec failed")) {
            Ok(made) => made,
            Err(error) => {
                self.stop_unstarted(number);
                return self.answer(reply, &answer_error(&error));
            }
        };
        process.state = State::Running;
        process.pid = u32::try_from(made.pid).unwrap_or(0);
        process.pidfd = made.pidfd;
        if let Some(console) = &made.console {
            // Without a copy of the terminal the process runs on with nobody listening.
            let _ = process.stdio.connect_console(&self.reactor, console);
        }
        process.console = made.console;
        let event = TaskExecStarted {
            container_id: process.container.clone(),
            exec_id: process.exec_id.clone(),
            pid: process.pid,
        };
        let response = StartResponse { pid: process.pid };
        reach(EXEC_STARTED);
        self.publish(&event);
        self.answer(reply, &Response::of(&response));
    }

    /// An exec that could not be started: it ends without having run, as in containerd.
    fn stop_unstarted(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.stdio.abandon_attachments();
        process.state = State::Running;
        self.on_exit(number, Exit::at_once(255));
    }
}
