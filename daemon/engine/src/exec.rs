//! Further processes in a running container: a client's, and those of health checks ([`probe`]).

mod probe;

use crate::client::{self, Client};
use crate::container::{
    Container, accounts, attach_socket, connect, detach_keys, rootfs, start_failure, wait_for_exit,
};
use crate::error::{Error, Result};
use crate::record::Phase;
use crate::requests::{ClientStream, ExecStartOptions};
use crate::shared::Shared;
use crate::spec;
use crate::streams::Attachment;
use crate::supervisor::failed;
use base_errors::Kind;
use base_faults as faults;
use base_ids::ExecId;
use base_oci::runtime::{ConsoleSize, Process};
use base64::Engine as _;
use contracts_engine_api::container::IdResponse;
use contracts_engine_api::exec::{ExecCreateRequest, ExecInspectResponse, ExecProcessConfig};
use contracts_engine_api::stream::Stream;
use contracts_shim_api::attach::{AttachRequest, EndReason, Framing};
use contracts_shim_api::stdio::{GantryStdio, StdioUri};
use contracts_supervisor_api::any;
use contracts_supervisor_api::services::tasks::{
    DeleteProcessRequest, ExecProcessRequest, GetRequest, StartRequest,
};
use contracts_supervisor_api::types;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Sessions of a container that are kept though they do not run: for those who ask for the exit
/// code late, or start one late.
const KEPT_IDLE: usize = 64;

/// How long an inspect waits for the exit code of a process that has ended.
const EXIT_WITHIN: Duration = Duration::from_secs(10);
/// How long a resize waits for the process to run; dockerd's.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// All exec sessions.
#[derive(Default)]
pub(crate) struct Execs(Mutex<HashMap<ExecId, Arc<Exec>>>);

/// One session.
struct Exec {
    id: ExecId,
    container: Arc<Container>,
    request: ExecCreateRequest,
    detach_keys: Vec<u8>,
    /// How output reaches the attached client.
    framing: Framing,
    /// Height and width that the terminal was last resized to.
    size: Mutex<Option<[u32; 2]>>,
    progress: watch::Sender<Progress>,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Created,
    Starting,
    Running { pid: u32 },
    Finished { code: i64, pid: u32 },
}

impl Execs {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<ExecId, Arc<Exec>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<Arc<Exec>> {
        let missing = || Error::NoSuchExec(id.to_owned());
        let parsed: ExecId = id.parse().map_err(|_| missing())?;
        self.all().get(&parsed).cloned().ok_or_else(missing)
    }

    /// Ids of a container's sessions that run.
    pub(crate) fn running(&self, container: &Container) -> Vec<String> {
        let ids = container.execs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = self.all();
        let runs = |id: &&ExecId| {
            all.get(*id).is_some_and(|e| !matches!(e.progress(), Progress::Finished { .. }))
        };
        ids.iter().filter(runs).map(ToString::to_string).collect()
    }

    /// Forgets a container's sessions.
    pub(crate) fn forget(&self, container: &Container) {
        let ids =
            std::mem::take(&mut *container.execs.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all = self.all();
        for id in ids {
            all.remove(&id);
        }
    }

    fn insert(&self, exec: Arc<Exec>) {
        let mut ids = exec.container.execs.lock().unwrap_or_else(PoisonError::into_inner);
        ids.push(exec.id.clone());
        let mut all = self.all();
        if ids.len() > KEPT_IDLE {
            let idle = |id: &ExecId| {
                all.get(id).is_none_or(|exec| {
                    matches!(exec.progress(), Progress::Created | Progress::Finished { .. })
                })
            };
            if let Some(at) = ids.iter().position(idle) {
                all.remove(&ids.remove(at));
            }
        }
        drop(ids);
        all.insert(exec.id.clone(), exec);
    }

    /// Forgets one session.
    fn remove(&self, exec: &Exec) {
        let mut ids = exec.container.execs.lock().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|id| *id != exec.id);
        self.all().remove(&exec.id);
    }
}

impl Exec {
    fn new(
        container: Arc<Container>,
        request: ExecCreateRequest,
        detach_keys: Vec<u8>,
        framing: Framing,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: ExecId::random(),
            container,
            request,
            detach_keys,
            framing,
            size: Mutex::default(),
            progress: watch::Sender::new(Progress::Created),
        })
    }

    fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    fn advance(&self, to: Progress) {
        self.progress.send_replace(to);
    }

    fn size(&self) -> std::sync::MutexGuard<'_, Option<[u32; 2]>> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the process runs.
    async fn started(&self) -> Result<()> {
        let mut progress = self.progress.subscribe();
        let begun = progress
            .wait_for(|progress| !matches!(progress, Progress::Created | Progress::Starting));
        match tokio::time::timeout(STARTS_WITHIN, begun).await.map(|begun| begun.map(|now| *now)) {
            Ok(Ok(Progress::Running { .. })) => Ok(()),
            Ok(_) => Err(Error::Conflict(format!("exec {} is not running", self.id))),
            Err(_) => {
                Err(Error::internal_text("timeout waiting for exec session ready".to_owned()))
            }
        }
    }

    /// Takes the right to start it, which exists once.
    fn claim(&self) -> Result<()> {
        let mut before = Progress::Created;
        self.progress.send_if_modified(|progress| {
            before = *progress;
            if before == Progress::Created {
                *progress = Progress::Starting;
            }
            before == Progress::Created
        });
        match before {
            Progress::Created => Ok(()),
            Progress::Starting | Progress::Running { .. } => {
                Err(Error::Conflict(format!("exec command {} is already running", self.id)))
            }
            Progress::Finished { .. } => {
                Err(Error::Conflict(format!("exec command {} has already run", self.id)))
            }
        }
    }

    fn command(&self) -> &[String] {
        self.request.cmd.as_deref().unwrap_or_default()
    }
}

/// A container that execs can work in.
fn runnable(container: &Container) -> Result<()> {
    match container.view().state.phase {
        Phase::Running => Ok(()),
        Phase::Paused => Err(Error::PausedForExec(container.record.name.clone())),
        Phase::Restarting => Err(Error::Conflict(format!(
            "Container {} is restarting, wait until the container is running",
            container.id()
        ))),
        _ => Err(Error::NotRunning(container.id().to_string())),
    }
}

impl Shared {
    /// `POST /containers/{id}/exec`.
    pub(crate) fn exec_create(&self, id: &str, request: ExecCreateRequest) -> Result<IdResponse> {
        let container = self.containers.find(id)?;
        runnable(&container)?;
        if request.cmd.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::invalid("No exec command specified"));
        }
        if !request.working_dir.is_empty() && !request.working_dir.starts_with('/') {
            return Err(Error::invalid("working directory must be an absolute path"));
        }
        let keys = detach_keys(Some(&request.detach_keys))?;
        let (keys, framing) =
            if request.tty { (keys, Framing::Raw) } else { (Vec::new(), Framing::Multiplexed) };
        let exec = Exec::new(container, request, keys, framing);
        self.execs.insert(exec.clone());
        self.tell_exec("exec_create", &exec);
        Ok(IdResponse { id: exec.id.to_string() })
    }

    fn tell_exec(&self, action: &str, exec: &Exec) {
        let mut attributes = exec.container.event_attributes();
        attributes.insert("execID".to_owned(), exec.id.to_string());
        // The program, a space, and its arguments: also where there are none.
        let command = exec.command();
        let program = command.first().map_or("", String::as_str);
        let arguments = command.get(1..).unwrap_or_default().join(" ");
        let action = format!("{action}: {program} {arguments}");
        self.events.emit("container", &action, exec.container.id().as_str(), attributes);
    }

    /// `POST /exec/{id}/start`, attached.
    pub(crate) fn exec_start(
        self: &Arc<Self>,
        id: &str,
        options: ExecStartOptions,
    ) -> Result<Attachment> {
        let exec = self.execs.find(id)?;
        let shared = self.clone();
        let tty = exec.request.tty;
        Ok(Attachment::new(tty, move |stream| async move {
            shared.exec_attached(exec, options, stream).await
        }))
    }

    async fn exec_attached(
        self: Arc<Self>,
        exec: Arc<Exec>,
        options: ExecStartOptions,
        stream: ClientStream,
    ) -> Result<()> {
        let client = Client::new(stream)?;
        let tty = exec.request.tty;
        let spare = client.duplicate()?;
        // What goes wrong from here on can only be told in the stream.
        let tell = async |error: Error| {
            let text = format!("{error}\r\n");
            client::write(&spare, tty, Stream::Stdout, text.as_bytes()).await?;
            Err(error)
        };
        if let Err(error) = runnable(&exec.container).and_then(|()| exec.claim()) {
            return tell(error).await;
        }
        self.tell_exec("exec_start", &exec);
        match self.exec_launch(&exec, options, Some(client)).await {
            Ok(connected) => {
                let reason = match connected {
                    Some(connected) => connected.ended().await?,
                    None => return Ok(()),
                };
                if reason == EndReason::Detached {
                    self.tell_exec("exec_detach", &exec);
                }
                Ok(())
            }
            Err((error, code)) => {
                exec.advance(Progress::Finished { code, pid: 0 });
                let told = tell(error).await;
                // Only now: with the process, the shim ends the client's stream.
                self.exec_forget(&exec).await;
                told
            }
        }
    }

    /// `POST /exec/{id}/start`, detached.
    pub(crate) async fn exec_start_detached(
        self: &Arc<Self>,
        id: &str,
        options: ExecStartOptions,
    ) -> Result<()> {
        let exec = self.execs.find(id)?;
        runnable(&exec.container)?;
        exec.claim()?;
        self.tell_exec("exec_start", &exec);
        match self.exec_launch(&exec, options, None).await {
            Ok(_) => Ok(()),
            Err((error, code)) => {
                exec.advance(Progress::Finished { code, pid: 0 });
                self.exec_forget(&exec).await;
                Err(error)
            }
        }
    }

    /// Adds the process, attaches the client, starts it.
    async fn exec_launch(
        self: &Arc<Self>,
        exec: &Arc<Exec>,
        options: ExecStartOptions,
        client: Option<Client>,
    ) -> std::result::Result<Option<crate::container::Connected>, (Error, i64)> {
        let plain = |error: Error| (error, 126);
        let process = self.exec_process(exec, options).await.map_err(plain)?;
        let json = serde_json::to_vec(&process)
            .map_err(|e| plain(Error::internal("encode process", e)))?;
        let (container_id, exec_id) = (exec.container.id().to_string(), exec.id.to_string());
        let request = &exec.request;
        let attached = client.is_some();
        let stdio = StdioUri::Gantry(GantryStdio::default()).to_string();
        let wants_input = attached && request.attach_stdin;
        let stdin = GantryStdio { once: true, ..GantryStdio::default() };
        let message = ExecProcessRequest {
            container_id: container_id.clone(),
            stdin: if wants_input { StdioUri::Gantry(stdin).to_string() } else { String::new() },
            stderr: if request.tty { String::new() } else { stdio.clone() },
            stdout: stdio,
            terminal: request.tty,
            spec: Some(any::json(any::PROCESS, json)),
            exec_id: exec_id.clone(),
        };
        let supervisor = &self.supervisor;
        let added = supervisor.tasks().exec(supervisor.call(message)).await;
        added.map_err(|error| exec_failure(&error))?;
        faults::reach(const { faults::step("daemon.exec.process-added") });
        let connected = match client {
            Some(client) => Some(self.exec_attach(exec, client).await.map_err(plain)?),
            None => None,
        };
        let start = StartRequest { container_id, exec_id };
        let started = supervisor.tasks().start(supervisor.call(start)).await;
        let pid = started.map_err(|error| exec_failure(&error))?.into_inner().pid;
        faults::reach(const { faults::step("daemon.exec.process-started") });
        exec.advance(Progress::Running { pid });
        let (shared, exec) = (self.clone(), exec.clone());
        tokio::spawn(async move { shared.exec_follow(exec).await });
        Ok(connected)
    }

    async fn exec_attach(
        &self,
        exec: &Exec,
        client: Client,
    ) -> Result<crate::container::Connected> {
        let (stream, buffered, _relay) = client.into_parts()?;
        let request = &exec.request;
        let attach = AttachRequest {
            id: exec.container.id().to_string(),
            exec_id: exec.id.to_string(),
            stdin: request.attach_stdin,
            stdout: request.attach_stdout,
            stderr: request.attach_stderr,
            framing: exec.framing.into(),
            detach_keys: exec.detach_keys.clone(),
            buffered_stdin: if request.attach_stdin { buffered.to_vec() } else { Vec::new() },
        };
        connect(&attach_socket(self, exec.container.id()), &attach, stream).await
    }

    /// Waits for the process' end.
    async fn exec_follow(self: Arc<Self>, exec: Arc<Exec>) {
        let container = exec.container.id().as_str();
        let exit = wait_for_exit(&self, container, exec.id.as_str()).await;
        let pid = match exec.progress() {
            Progress::Running { pid } => pid,
            _ => 0,
        };
        exec.advance(Progress::Finished { code: exit.code, pid });
        let mut attributes = exec.container.event_attributes();
        attributes.insert("execID".to_owned(), exec.id.to_string());
        attributes.insert("exitCode".to_owned(), exit.code.to_string());
        self.events.emit("container", "exec_die", container, attributes);
        self.exec_forget(&exec).await;
    }

    async fn exec_forget(&self, exec: &Exec) {
        let request = self.supervisor.call(DeleteProcessRequest {
            container_id: exec.container.id().to_string(),
            exec_id: exec.id.to_string(),
        });
        if let Err(error) = self.supervisor.tasks().delete_process(request).await {
            tracing::debug!(exec = %exec.id, error = error.message(), "delete exec");
        }
    }

    /// The process in the runtime's form.
    async fn exec_process(&self, exec: &Exec, options: ExecStartOptions) -> Result<Process> {
        let (container, request) = (&exec.container, &exec.request);
        let (config, host) = (&container.record.config, &container.record.host_config);
        let mounts = rootfs(self, container).await?;
        let user = if request.user.is_empty() { &config.user } else { &request.user };
        let groups = host.group_add.clone().unwrap_or_default();
        let identity = accounts(&mounts).await?.identify(user, &groups)?;
        let capabilities = if request.privileged {
            self.facts.capabilities.clone()
        } else {
            spec::container_capabilities(host, &self.facts)?
        };
        let mut env = spec::environment(
            config.env.as_deref().unwrap_or_default(),
            &config.hostname,
            request.tty,
        );
        spec::merge_environment(&mut env, request.env.as_deref().unwrap_or_default());
        let folder = [request.working_dir.as_str(), config.working_dir.as_str(), "/"];
        let cwd = folder.into_iter().find(|folder| !folder.is_empty()).unwrap_or("/");
        let size = exec.size().or(options.console_size).or(request.console_size);
        let size = size.filter(|_| request.tty);
        let security = spec::SecurityOptions::parse(host)?;
        Ok(Process {
            terminal: request.tty,
            console_size: size.map(|[height, width]| ConsoleSize {
                height: u64::from(height),
                width: u64::from(width),
            }),
            user: spec::user(&identity, host.umask),
            args: exec.command().to_vec(),
            env,
            cwd: cwd.to_owned(),
            capabilities: Some(spec::capability_sets(capabilities)),
            rlimits: spec::rlimits(&self.config.default_ulimits, host),
            no_new_privileges: security.no_new_privileges,
            apparmor_profile: security.apparmor,
            oom_score_adj: Some(i32::try_from(host.oom_score_adj).unwrap_or_default()),
            ..Process::default()
        })
    }

    /// Waits for the exit code of a process that has ended. Clients ask for it as soon as their
    /// stream ends, and that ends in the shim: here nobody may have heard of the exit yet.
    async fn exec_settle(&self, exec: &Exec) {
        if !matches!(exec.progress(), Progress::Starting | Progress::Running { .. }) {
            return;
        }
        let request = GetRequest {
            container_id: exec.container.id().to_string(),
            exec_id: exec.id.to_string(),
        };
        // The shim ends the stream and the process in one turn, so what it says now is true.
        let is_over = match self.supervisor.tasks().get(self.supervisor.call(request)).await {
            Ok(answer) => answer
                .into_inner()
                .process
                .is_some_and(|process| process.status() == types::Status::Stopped),
            // Not there yet, or deleted since.
            Err(_) => !matches!(exec.progress(), Progress::Starting),
        };
        if is_over {
            let mut progress = exec.progress.subscribe();
            let over = progress.wait_for(|now| matches!(now, Progress::Finished { .. }));
            let _ = tokio::time::timeout(EXIT_WITHIN, over).await;
        }
    }

    /// `GET /exec/{id}/json`.
    pub(crate) async fn exec_inspect(&self, id: &str) -> Result<ExecInspectResponse> {
        let exec = self.execs.find(id)?;
        self.exec_settle(&exec).await;
        let request = &exec.request;
        let command = exec.command();
        let progress = exec.progress();
        let (running, pid) = match progress {
            Progress::Running { pid } => (true, i64::from(pid)),
            Progress::Starting => (true, 0),
            Progress::Finished { pid, .. } => (false, i64::from(pid)),
            Progress::Created => (false, 0),
        };
        Ok(ExecInspectResponse {
            id: exec.id.to_string(),
            running,
            exit_code: match progress {
                Progress::Finished { code, .. } => Some(code),
                _ => None,
            },
            process_config: ExecProcessConfig {
                tty: request.tty,
                entrypoint: command.first().cloned().unwrap_or_default(),
                arguments: command.get(1..).unwrap_or_default().to_vec(),
                privileged: Some(request.privileged),
                user: request.user.clone(),
            },
            open_stdin: request.attach_stdin,
            open_stderr: request.attach_stderr,
            open_stdout: request.attach_stdout,
            can_remove: false,
            container_id: exec.container.id().to_string(),
            // What the request said, as bytes; those of the default are not shown.
            detach_keys: Some(if request.detach_keys.is_empty() {
                String::new()
            } else {
                base64::engine::general_purpose::STANDARD.encode(&exec.detach_keys)
            }),
            pid,
        })
    }

    /// `POST /exec/{id}/resize`. Clients send the size while the process is being started: it
    /// begins with that size where it can, and gets it as soon as it runs where not.
    pub(crate) async fn exec_resize(&self, id: &str, height: u32, width: u32) -> Result<()> {
        let exec = self.execs.find(id)?;
        *exec.size() = Some([height, width]);
        exec.started().await?;
        self.resize(exec.container.id().as_str(), exec.id.as_str(), height, width).await
    }
}

/// dockerd's text and exit code for what the runtime says.
fn exec_failure(error: &contracts_supervisor_api::tonic::Status) -> (Error, i64) {
    let code = match start_failure(error).exit_code {
        128 => 126,
        code => code,
    };
    let said = error.message();
    let said = said.strip_prefix("failed to exec in container: ").unwrap_or(said);
    let mut message = if said.contains("OCI runtime exec failed") {
        said.to_owned()
    } else if code == 127 || said.contains("exec: ") {
        format!("OCI runtime exec failed: exec failed: {said}")
    } else {
        return (failed("exec")(error.clone()), code);
    };
    if let Some(short) = message.strip_suffix(": unknown") {
        message.truncate(short.len());
    }
    (Error::Start { kind: Kind::InvalidArgument, message }, code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{StateRecord, tests::config};
    use futures_util::FutureExt as _;

    fn exec() -> Arc<Exec> {
        let (container, _) = Container::new(config(), StateRecord::created(), "/x".into(), None);
        Exec::new(container, ExecCreateRequest::default(), Vec::new(), Framing::Multiplexed)
    }

    #[test]
    fn an_exec_starts_once() {
        let exec = exec();
        exec.claim().unwrap();
        exec.advance(Progress::Finished { code: 0, pid: 1 });
        let text = exec.claim().unwrap_err().to_string();
        assert_eq!(text, format!("exec command {} has already run", exec.id));
    }

    #[tokio::test]
    async fn a_resize_waits_for_the_process() {
        let exec = exec();
        let waiting = exec.started();
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        exec.claim().unwrap();
        assert!(waiting.as_mut().now_or_never().is_none());
        exec.advance(Progress::Running { pid: 1 });
        waiting.await.unwrap();
        exec.advance(Progress::Finished { code: 0, pid: 1 });
        let text = exec.started().await.unwrap_err().to_string();
        assert_eq!(text, format!("exec {} is not running", exec.id));
    }

    #[test]
    fn sessions_go_with_their_container() {
        let (execs, exec) = (Execs::default(), exec());
        execs.insert(exec.clone());
        assert_eq!(execs.running(&exec.container), [exec.id.to_string()]);
        execs.forget(&exec.container);
        assert!(execs.find(exec.id.as_str()).is_err());
    }

    #[test]
    fn only_so_many_sessions_are_kept_that_do_not_run() {
        let (execs, first) = (Execs::default(), exec());
        first.claim().unwrap();
        let again = || {
            let request = ExecCreateRequest::default();
            Exec::new(first.container.clone(), request, Vec::new(), Framing::Raw)
        };
        execs.insert(first.clone());
        for _ in 0..2 * KEPT_IDLE {
            execs.insert(again());
        }
        assert_eq!(execs.all().len(), KEPT_IDLE);
        assert!(execs.find(first.id.as_str()).is_ok());
        execs.remove(&first);
        assert!(execs.find(first.id.as_str()).is_err());
    }
}
