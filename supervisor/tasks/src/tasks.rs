//! All tasks, by namespace and container id.

use crate::binary::{self, Surroundings};
use crate::bundle::{Bundle, Layout, ShimRecord};
use crate::shim::{Scope, Shim};
use crate::task::{Exit, Task};
use crate::{Error, Reaper, log_pipe};
use base_errors::{Chain, Kind};
use contracts_shim_api::bootstrap::BootstrapParams;
use contracts_shim_api::task::{
    CreateTaskRequest, DeleteResponse, ExecProcessRequest, KillRequest, Method, StateResponse,
};
use contracts_shim_api::types::Mount;
use contracts_supervisor_api::events::{TaskDelete, TaskExit};
use contracts_supervisor_api::types::Envelope;
use contracts_supervisor_api::{any, topics};
use prost::Message;
use prost_types::Any;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use supervisor_events::Exchange;
use tokio::sync::watch;

const BUNDLE_WRITTEN: &base_faults::Step = base_faults::step("supervisor.run.bundle-written");
const SHIM_LAUNCHED: &base_faults::Step = base_faults::step("supervisor.run.shim-launched");
const TASK_CREATED: &base_faults::Step = base_faults::step("supervisor.run.task-created");
const TASK_STARTED: &base_faults::Step = base_faults::step("supervisor.run.task-started");
const PROCESS_ADDED: &base_faults::Step = base_faults::step("supervisor.exec.process-added");
const PROCESS_STARTED: &base_faults::Step = base_faults::step("supervisor.exec.process-started");
const SIGNALLED: &base_faults::Step = base_faults::step("supervisor.stop.signalled");
const SHIM_DELETED: &base_faults::Step = base_faults::step("supervisor.stop.shim-deleted");

/// What tasks need to know of the supervisor.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its state directory.
    pub state: PathBuf,
    /// Its gRPC socket.
    pub grpc: PathBuf,
    /// Its socket for events.
    pub ttrpc: PathBuf,
    /// Whether shims are to log at debug level.
    pub debug: bool,
}

/// A task to be made.
#[derive(Clone, Debug, Default)]
pub struct NewTask {
    /// The container's id, an identifier.
    pub id: String,
    /// The runtime's name, or its shim's absolute path.
    pub runtime: String,
    /// `config.json`.
    pub spec: Vec<u8>,
    /// Mounts that make the root file system.
    pub rootfs: Vec<Mount>,
    /// URI or path of the standard input.
    pub stdin: String,
    /// URI or path of the standard output.
    pub stdout: String,
    /// URI or path of the standard error.
    pub stderr: String,
    /// Whether there is a terminal.
    pub terminal: bool,
    /// The runtime's options.
    pub options: Option<Any>,
}

/// Namespace and container id.
type Key = (String, String);

enum Slot {
    /// Being made; not there yet for anybody else.
    Creating,
    /// There, its shim alive or dead.
    Present(Arc<Task>),
    /// Deleted, its shim about to leave; closes when it has.
    Leaving(watch::Receiver<()>),
}

/// All tasks. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    shared: Arc<Shared>,
}

struct Shared {
    around: Surroundings,
    events: Exchange,
    slots: Mutex<HashMap<Key, Slot>>,
}

impl Tasks {
    /// No tasks yet; [`adopt`](Self::adopt) finds those of an earlier supervisor.
    ///
    /// # Errors
    /// A directory cannot be made.
    pub fn new(config: Config, reaper: Reaper, events: Exchange) -> Result<Self, Error> {
        let layout = Layout::new(&config.state);
        layout.prepare()?;
        let Config { grpc, ttrpc, debug, .. } = config;
        let around = Surroundings { layout, grpc, ttrpc, reaper, debug };
        let slots = Mutex::new(HashMap::new());
        Ok(Self { shared: Arc::new(Shared { around, events, slots }) })
    }

    pub(crate) fn around(&self) -> &Surroundings {
        &self.shared.around
    }

    /// Makes a task: bundle, shim, container. Answers the init process' id.
    ///
    /// Must run to its end: callers put it into a task of its own.
    ///
    /// # Errors
    /// The name is taken, or a step failed; then nothing is left of it.
    pub async fn create(&self, scope: &Scope, new: NewTask) -> Result<u32, Error> {
        let program = binary::resolve(&new.runtime)?;
        let key = (scope.namespace.clone(), new.id.clone());
        self.reserve(&key).await?;
        let bundle = Bundle::of(&self.shared.around.layout, &scope.namespace, &new.id);
        let record = ShimRecord::new(&new.runtime, &program);
        match self.launch(scope, &new, &bundle, record).await {
            Ok(task) => {
                let pid = task.pid.load(Ordering::Relaxed);
                self.insert(key, task);
                base_faults::reach(TASK_CREATED);
                Ok(pid)
            }
            Err(error) => {
                self.slots().remove(&key);
                Err(error)
            }
        }
    }

    /// Waits for an earlier task of this name to leave, and takes the name.
    async fn reserve(&self, key: &Key) -> Result<(), Error> {
        loop {
            let mut leaving = match self.slots().entry(key.clone()) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(Slot::Creating);
                    return Ok(());
                }
                std::collections::hash_map::Entry::Occupied(entry) => match entry.get() {
                    Slot::Leaving(leaving) => leaving.clone(),
                    _ => return Err(Error::AlreadyExists(key.1.clone())),
                },
            };
            // Nothing is ever sent: this ends when the sender is dropped.
            while leaving.changed().await.is_ok() {}
        }
    }

    async fn launch(
        &self,
        scope: &Scope,
        new: &NewTask,
        bundle: &Bundle,
        mut record: ShimRecord,
    ) -> Result<Task, Error> {
        let around = &self.shared.around;
        let log = match Self::prepare(new, bundle, &record) {
            Ok(log) => log,
            Err(error) => {
                self.remove_bundle(bundle, &new.id);
                return Err(error);
            }
        };
        base_faults::reach(BUNDLE_WRITTEN);
        let program = record.program.clone();
        let options = new.options.as_ref();
        let path = bundle.path();
        let started = binary::start(around, &program, scope, &new.id, path, options).await;
        base_faults::reach(SHIM_LAUNCHED);
        let created = match started {
            Ok(params) => self.create_in_shim(scope, new, bundle, &mut record, &params).await,
            Err(error) => Err(error),
        };
        match created {
            Ok((shim, pid)) => {
                let of = (scope.namespace.as_str(), new.id.as_str());
                let task = Task::new(of, bundle.clone(), record, Some(shim), log);
                task.pid.store(pid, Ordering::Relaxed);
                Ok(task)
            }
            Err(error) => {
                let deleted = binary::delete(around, &program, scope, &new.id, path).await;
                if let Err(error) = deleted {
                    tracing::warn!(
                        container = %new.id, error = %Chain(&error),
                        "cannot clean up after a task that was not created"
                    );
                }
                around.remove_socket(record.address.as_deref()).await;
                self.remove_bundle(bundle, &new.id);
                Err(error)
            }
        }
    }

    /// Makes the bundle, and for other people's shims the fifo that they log to.
    fn prepare(
        new: &NewTask,
        bundle: &Bundle,
        record: &ShimRecord,
    ) -> Result<Option<tokio::task::JoinHandle<()>>, Error> {
        bundle.create(&new.spec)?;
        bundle.write_shim(record)?;
        if binary::is_gantry(&record.program) {
            return Ok(None);
        }
        log_pipe::follow(bundle.path(), &new.id).map(Some)
    }

    async fn create_in_shim(
        &self,
        scope: &Scope,
        new: &NewTask,
        bundle: &Bundle,
        record: &mut ShimRecord,
        params: &BootstrapParams,
    ) -> Result<(Shim, u32), Error> {
        record.api = Some(params.version);
        record.address = Some(params.address.clone());
        bundle.write_shim(record)?;
        let shim = Shim::connect(params).await?;
        let request = CreateTaskRequest {
            id: new.id.clone(),
            bundle: bundle.path().to_string_lossy().into_owned(),
            rootfs: new.rootfs.clone(),
            terminal: new.terminal,
            stdin: new.stdin.clone(),
            stdout: new.stdout.clone(),
            stderr: new.stderr.clone(),
            options: new.options.clone(),
            ..CreateTaskRequest::default()
        };
        match shim.create(scope, &request).await {
            Ok(response) => Ok((shim, response.pid)),
            Err(error) => {
                self.shut_down(&shim, scope, &new.id, &params.address).await;
                Err(error)
            }
        }
    }

    /// Has a shim leave that has no task of this id, unless it serves other tasks.
    pub(crate) async fn shut_down(&self, shim: &Shim, scope: &Scope, id: &str, address: &str) {
        if self.is_used(address) {
            return;
        }
        if let Err(error) = shim.shut_down(scope, id).await {
            tracing::warn!(container = %id, error = %Chain(&error), "shim does not leave");
        }
    }

    fn remove_bundle(&self, bundle: &Bundle, id: &str) {
        if let Err(error) = bundle.remove() {
            tracing::warn!(container = %id, error = %Chain(&error), "bundle not removed");
        }
    }

    /// Lists a task and begins to watch it.
    pub(crate) fn insert(&self, key: Key, task: Task) {
        let task = Arc::new(task);
        let watcher = Arc::clone(&task);
        let (around, events) = (self.shared.around.clone(), self.shared.events.clone());
        self.slots().insert(key, Slot::Present(task));
        tokio::spawn(watcher.watch(around, events));
    }

    /// Starts the init process, or an exec. Answers its id.
    ///
    /// # Errors
    /// There is no such process, or it cannot be started.
    pub async fn start(&self, scope: &Scope, id: &str, exec_id: &str) -> Result<u32, Error> {
        let task = self.find(scope, id)?;
        let pid = task.shim()?.start(scope, id, exec_id).await?.pid;
        if exec_id.is_empty() {
            task.pid.store(pid, Ordering::Relaxed);
        }
        base_faults::reach(if exec_id.is_empty() { TASK_STARTED } else { PROCESS_STARTED });
        Ok(pid)
    }

    /// Adds a further process, not started yet.
    ///
    /// # Errors
    /// There is no such task, or the shim refuses.
    pub async fn exec(&self, scope: &Scope, request: &ExecProcessRequest) -> Result<(), Error> {
        let task = self.find(scope, &request.id)?;
        task.shim()?.call::<()>(scope, Method::Exec, request).await?;
        base_faults::reach(PROCESS_ADDED);
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// There is no such process, or it has ended.
    pub async fn kill(&self, scope: &Scope, request: &KillRequest) -> Result<(), Error> {
        let task = self.find(scope, &request.id)?;
        let sent = match task.shim() {
            Ok(shim) => shim.call::<()>(scope, Method::Kill, request).await,
            Err(error) => Err(error),
        };
        match sent {
            // The container ends with its shim.
            Err(Error::Closed | Error::ShimGone(_)) => {
                let _ = task.exited().await;
                return Err(Error::Finished);
            }
            sent => sent?,
        }
        base_faults::reach(SIGNALLED);
        Ok(())
    }

    /// Any method that needs nothing from the supervisor.
    ///
    /// # Errors
    /// There is no such task, or the shim refuses.
    pub async fn call<A: Message + Default>(
        &self,
        scope: &Scope,
        id: &str,
        method: Method,
        request: &impl Message,
    ) -> Result<A, Error> {
        self.find(scope, id)?.shim()?.request(scope, method, request).await
    }

    /// A process' state.
    ///
    /// # Errors
    /// There is no such process, or its shim does not answer.
    pub async fn state(
        &self,
        scope: &Scope,
        id: &str,
        exec_id: &str,
    ) -> Result<StateResponse, Error> {
        let task = self.find(scope, id)?;
        let asked = match task.shim() {
            Ok(shim) => shim.state(scope, id, exec_id).await,
            Err(error) => Err(error),
        };
        match asked {
            Err(Error::Closed | Error::ShimGone(_)) if exec_id.is_empty() => {
                Ok(task.epitaph().await)
            }
            asked => asked,
        }
    }

    /// The ids of a namespace's tasks.
    #[must_use]
    pub fn list(&self, namespace: &str) -> Vec<String> {
        let slots = self.slots();
        let present = slots
            .iter()
            .filter(|((of, _), slot)| of == namespace && matches!(slot, Slot::Present(_)));
        let mut ids: Vec<String> = present.map(|((_, id), _)| id.clone()).collect();
        ids.sort();
        ids
    }

    /// Whether a task has the shim at this address.
    fn is_used(&self, address: &str) -> bool {
        let is_its = |slot: &Slot| matches!(slot, Slot::Present(task) if task.record.address.as_deref() == Some(address));
        self.slots().values().any(is_its)
    }

    /// Waits until a process has ended.
    ///
    /// # Errors
    /// There is no such process.
    pub async fn wait(&self, scope: &Scope, id: &str, exec_id: &str) -> Result<Exit, Error> {
        let task = self.find(scope, id)?;
        if exec_id.is_empty() {
            return Ok(task.exited().await);
        }
        match task.shim()?.wait(scope, id, exec_id).await {
            Ok(response) => Ok(response.into()),
            // The container, and every exec in it, ended with the shim.
            Err(Error::Closed) => Ok(Exit::killed_now()),
            Err(error) => Err(error),
        }
    }

    /// Deletes a task that has ended or never started, and collects its exit status. Its shim
    /// leaves after the answer.
    ///
    /// Must run to its end: callers put it into a task of its own.
    ///
    /// # Errors
    /// There is no such task, or it still runs.
    pub async fn delete(&self, scope: &Scope, id: &str) -> Result<DeleteResponse, Error> {
        let task = self.find(scope, id)?;
        let deleted = match task.shim() {
            Ok(shim) => shim.delete(scope, id, "").await,
            Err(error) => Err(error),
        };
        let response = match deleted {
            Err(Error::Closed | Error::ShimGone(_)) => {
                let exit = task.exited().await;
                let pid = task.pid.load(Ordering::Relaxed);
                let exited_at = Some(exit.at);
                self.shared.events.publish(
                    &scope.namespace,
                    topics::TASK_DELETE,
                    &TaskDelete {
                        container_id: id.to_owned(),
                        pid,
                        exit_status: exit.status,
                        exited_at,
                        id: String::new(),
                    },
                );
                DeleteResponse { pid, exit_status: exit.status, exited_at }
            }
            deleted => deleted?,
        };
        base_faults::reach(SHIM_DELETED);
        self.let_go(scope, &task);
        Ok(response)
    }

    /// Deletes an exec that has ended, and collects its exit status.
    ///
    /// # Errors
    /// There is no such process, or it still runs.
    pub async fn delete_process(
        &self,
        scope: &Scope,
        id: &str,
        exec_id: &str,
    ) -> Result<DeleteResponse, Error> {
        self.find(scope, id)?.shim()?.delete(scope, id, exec_id).await
    }

    /// Takes the task off the list; its shim and bundle go in the background, its name is free
    /// when they have.
    fn let_go(&self, scope: &Scope, task: &Arc<Task>) {
        task.leave();
        let key = (task.namespace.clone(), task.id.clone());
        let (leaving, left) = watch::channel(());
        self.slots().insert(key.clone(), Slot::Leaving(left));
        let (tasks, task, scope) = (self.clone(), Arc::clone(task), scope.clone());
        tokio::spawn(async move {
            let address = task.record.address.as_deref();
            if let Ok(shim) = task.shim() {
                tasks.shut_down(shim, &scope, &task.id, address.unwrap_or_default()).await;
            }
            tasks.shared.around.remove_socket(address).await;
            tasks.remove_bundle(&task.bundle, &task.id);
            tasks.slots().remove(&key);
            drop(leaving);
        });
    }

    /// Publishes an event that a shim forwarded, unless it is an exit that was announced already.
    pub fn forward(&self, envelope: Envelope) {
        if envelope.topic == topics::TASK_EXIT
            && let Some(exit) =
                envelope.event.as_ref().and_then(|event| any::unpack::<TaskExit>(event).ok())
            && exit.id == exit.container_id
            && let Ok(task) = self.present(&envelope.namespace, &exit.container_id)
            && !task.announce_once()
        {
            return;
        }
        self.shared.events.forward(envelope);
    }

    fn find(&self, scope: &Scope, id: &str) -> Result<Arc<Task>, Error> {
        self.present(&scope.namespace, id)
    }

    fn present(&self, namespace: &str, id: &str) -> Result<Arc<Task>, Error> {
        match self.slots().get(&(namespace.to_owned(), id.to_owned())) {
            Some(Slot::Present(task)) => Ok(Arc::clone(task)),
            _ => Err(Error::NotFound(id.to_owned())),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        // No code panics between two changes that belong together.
        self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a shim says that it has no such process.
pub(crate) fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::Shim { kind: Kind::NotFound, .. })
}

/// Tells whether a path is a shim's program that can be run for clean-up.
pub(crate) fn is_program(path: &Path) -> bool {
    path.is_file()
}
