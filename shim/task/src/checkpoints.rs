//! `Checkpoint`, and `Create` and `Start` of a container that a checkpoint is restored to.
//!
//! As in containerd's shim `Create` only remembers the checkpoint: the container is made by `Start`, and
//! has no pid before.

use crate::connection::Reply;
use crate::container::Container;
use crate::error::TaskError;
use crate::lifecycle::Then;
use crate::process::{Process, State};
use crate::server::Server;
use crate::service::answer_error;
use crate::stdio::{Opened, Stdio};
use crate::worker::{Failure, Made};
use contracts_shim_api::events::{TaskCheckpointed, TaskStart};
use contracts_shim_api::options::CheckpointOptions;
use contracts_shim_api::task::{CheckpointTaskRequest, StartResponse};
use contracts_shim_api::ttrpc::Response;
use contracts_shim_api::types::unpack;
use rustix::process::{Signal, pidfd_send_signal};
use std::path::PathBuf;

impl Server {
    /// `Checkpoint`.
    pub(crate) fn checkpoint(
        &mut self,
        request: CheckpointTaskRequest,
        reply: Reply,
    ) -> Result<(), TaskError> {
        let number = self.find(&request.id, "")?;
        let process = self.processes.get(&number).ok_or(TaskError::NoContainer)?;
        if !matches!(process.state, State::Running | State::Paused) {
            return Err(process.state.refuse("checkpoint"));
        }
        if self.is_being_checkpointed(number) {
            return Err(TaskError::State { verb: "checkpoint", state: "checkpointed" });
        }
        let options: CheckpointOptions = match &request.options {
            Some(any) => unpack(any).map_err(|error| TaskError::Invalid(error.to_string()))?,
            None => CheckpointOptions::default(),
        };
        let (runtime, id) = self.runtime(&request.id)?;
        let bundle = self.containers.get(&id).ok_or(TaskError::NoContainer)?.bundle.clone();
        let image = PathBuf::from(&request.path);
        let job = move || runtime.checkpoint(&bundle, &id, &image, &options);
        self.launch(Vec::new(), Then::Checkpointed(number, request.path, reply), job)
    }

    /// Whether a worker is at writing it down.
    pub(crate) fn is_being_checkpointed(&self, number: u32) -> bool {
        let mut under_way = self.workers.values().map(|(_, then)| then);
        under_way.any(|then| matches!(then, Then::Checkpointed(init, ..) if *init == number))
    }

    pub(crate) fn checkpointed(
        &mut self,
        number: u32,
        checkpoint: String,
        reply: Reply,
        result: Result<Made, Failure>,
    ) {
        let container = self.processes.get(&number).map(|process| process.container.clone());
        let response = match (result, container) {
            (Err(failure), _) => answer_error(&failure.into_error("OCI runtime checkpoint failed")),
            (Ok(_), container) => {
                let container_id = container.unwrap_or_default();
                self.publish(&TaskCheckpointed { container_id, checkpoint });
                Response::default()
            }
        };
        self.answer(reply, &response);
        let (due, later) =
            std::mem::take(&mut self.deletes).into_iter().partition(|(init, _)| *init == number);
        self.deletes = later;
        let due: Vec<(u32, Reply)> = due;
        for (init, reply) in due {
            if let Err(error) = self.delete(init, reply) {
                self.answer(reply, &answer_error(&error));
            }
        }
    }

    /// `Create` of a container that is to be restored.
    pub(crate) fn create_restored(
        &mut self,
        id: &str,
        container: Container,
        stdio: Stdio,
        reply: Reply,
    ) -> Result<(), TaskError> {
        let (number, is_attachable) = (container.init, stdio.is_attachable());
        self.containers.insert(id.to_owned(), container);
        let state = State::Created { waits_at_start: false };
        self.processes.insert(number, Process::new(id, "", state, stdio));
        if is_attachable && let Err(error) = self.open_attach_socket(id) {
            self.forget(id);
            return Err(error);
        }
        self.tell_created(id, reply);
        Ok(())
    }

    /// `Start` of such a container; whether it is one.
    pub(crate) fn start_restored(&mut self, number: u32, reply: Reply) -> Result<bool, TaskError> {
        let (runtime, id) = self.runtime_of(number)?;
        let container = self.containers.get_mut(&id).ok_or(TaskError::NoContainer)?;
        let Some(restore) = &mut container.restore else { return Ok(false) };
        let opened = restore.opened.again()?;
        let (image, options) = (restore.image.clone(), restore.options.clone());
        let (bundle, mounts) = (container.bundle.clone(), container.rootfs.clone());
        let namespace = self.config.namespace.clone();
        let keep = opened.descriptors();
        let job = move || {
            let Opened { theirs, logger } = opened;
            logger.map_or(Ok(()), |logger| logger.run(&id, &namespace))?;
            runtime.restore(&bundle, &id, &mounts, theirs, &image, &options)
        };
        self.launch(keep, Then::Restored(number, reply), job)?;
        Ok(true)
    }

    pub(crate) fn restored(&mut self, number: u32, reply: Reply, result: Result<Made, Failure>) {
        let Some(process) = self.processes.get(&number) else {
            return self.answer_gone(reply);
        };
        let container_id = process.container.clone();
        let made = match result.map_err(|failure| failure.into_error("OCI runtime restore failed"))
        {
            Ok(made) => made,
            Err(error) => {
                self.set_state(number, State::Created { waits_at_start: false });
                return self.answer(reply, &answer_error(&error));
            }
        };
        // Ours would keep its pipes from ending.
        if let Some(container) = self.containers.get_mut(&container_id) {
            container.restore = None;
        }
        let taken = self.take_in(number, made, State::Running);
        let Some(process) = self.processes.get(&number) else { return };
        if let Err(error) = taken {
            if let Some(pidfd) = &process.pidfd {
                let _ = pidfd_send_signal(pidfd, Signal::KILL);
            }
            return self.answer(reply, &answer_error(&error));
        }
        let pid = process.pid;
        self.publish(&TaskStart { container_id, pid });
        self.answer(reply, &Response::of(&StartResponse { pid }));
    }
}
