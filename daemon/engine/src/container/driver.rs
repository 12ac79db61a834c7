//! The task that owns one container's state.

use super::{Check, Container, exit, health, remove, start, stop};
use crate::error::{Error, Result};
use crate::record::{Ending, HealthRecord, HealthStatus, Phase, StateRecord, Timestamp3339};
use crate::requests::RemoveOptions;
use crate::shared::Shared;
use crate::supervisor::{current_trace, traced};
use base_faults as faults;
use base_telemetry::TraceContext;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// The first delay of a restart policy, doubled each time.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A container that ran this long starts again with the first delay.
const LONG_RUN: Duration = Duration::from_secs(10);

pub(super) type Reply = oneshot::Sender<Result<()>>;

/// What a driver is told.
pub(crate) enum Command {
    /// Start it.
    Start { trace: TraceContext, reply: Reply },
    /// Signal it, wait, kill it.
    Stop { plan: stop::Plan, trace: TraceContext, reply: Reply },
    /// Signal it.
    Kill { signal: i32, trace: TraceContext, reply: Reply },
    /// Freeze (or thaw) it.
    Pause { freeze: bool, trace: TraceContext, reply: Reply },
    /// Remove it.
    Remove { options: RemoveOptions, trace: TraceContext, reply: Reply },
    /// A start job ended.
    Started(std::result::Result<start::Started, start::Failure>),
    /// A freeze or thaw ended.
    Paused { freeze: bool, result: Result<()>, reply: Reply },
    /// It was thawed so that a signal reaches it.
    Thawed,
    /// It could not be stopped.
    NotStopped,
    /// It could not be killed for its removal.
    NotKilled(Error),
    /// Its task ended.
    Exited(exit::Exit),
    /// Ports and addresses of an ended task are free.
    Ended(exit::Exit),
    /// A health check's command has ended.
    Probed(health::Probed),
    /// The out-of-memory killer came by.
    OutOfMemory,
    /// The delay of the restart policy is over.
    Again,
    /// A removal job ended.
    Removed(Result<()>),
}

/// Where the container is in its life; see the diagram in the parent module.
enum Life {
    Resting,
    Starting { waiting: Vec<Reply> },
    Running,
    Ending,
    Waiting { timer: tokio::task::AbortHandle },
    Removing { waiting: Vec<Reply> },
    Gone,
}

/// The driver.
struct Driver {
    shared: Arc<Shared>,
    container: Arc<Container>,
    life: Life,
    /// Commands that come back when a start or an end is over.
    deferred: VecDeque<Command>,
    /// A stop is under way: tell `stop` before `die`.
    stopping: bool,
    /// A restart is under way: `--rm` does not remove it.
    restarting: bool,
    /// Removal was asked for by force while it runs.
    removal: Option<(RemoveOptions, Vec<Reply>)>,
    delay: Duration,
    /// The kernel's part of the last task's end.
    teardown: Option<watch::Receiver<bool>>,
    /// Looks after the container's health while it runs and is not frozen.
    monitor: Option<health::Monitor>,
    monitors: u64,
}

/// Starts the driver of a container whose task (if it is said to run) is there.
pub(crate) fn spawn(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    receiver: mpsc::Receiver<Command>,
) {
    let view = container.view();
    let life = if view.has_task() { Life::Running } else { Life::Resting };
    let mut driver = Driver {
        shared: shared.clone(),
        container: container.clone(),
        life,
        deferred: VecDeque::new(),
        stopping: false,
        restarting: false,
        removal: None,
        delay: FIRST_DELAY,
        teardown: None,
        monitor: None,
        monitors: 0,
    };
    if view.has_task() {
        driver.expect_health();
        exit::watch(shared, container);
    }
    tokio::spawn(driver.run(receiver));
}

impl Container {
    /// Gives the driver a command and waits for its answer.
    pub(crate) async fn ask(
        &self,
        command: impl FnOnce(TraceContext, Reply) -> Command,
    ) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::NoSuchContainer(self.id().to_string());
        self.commands.send(command(current_trace(), reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Tells the driver something that needs no answer.
    pub(crate) async fn tell(&self, command: Command) {
        // A driver that is gone has nothing left to learn.
        let _ = self.commands.send(command).await;
    }
}

impl Driver {
    async fn run(mut self, mut receiver: mpsc::Receiver<Command>) {
        while let Some(command) = receiver.recv().await {
            self.handle(command);
            while !self.busy() && !self.deferred.is_empty() {
                if let Some(command) = self.deferred.pop_front() {
                    self.handle(command);
                }
            }
            if matches!(self.life, Life::Gone) {
                return;
            }
        }
    }

    fn busy(&self) -> bool {
        matches!(self.life, Life::Starting { .. } | Life::Ending)
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Start { trace, reply } => self.start(trace, reply),
            Command::Stop { plan, trace, reply } => self.stop(plan, trace, reply),
            Command::Kill { signal, trace, reply } => self.kill(signal, trace, reply),
            Command::Pause { freeze, trace, reply } => self.pause(freeze, trace, reply),
            Command::Remove { options, trace, reply } => self.remove(options, trace, reply),
            Command::Started(result) => self.started(result),
            Command::Paused { freeze, result, reply } => self.paused(freeze, result, reply),
            Command::Thawed => self.set_paused(false),
            Command::NotStopped => (self.stopping, self.restarting) = (false, false),
            Command::NotKilled(error) => self.not_killed(&error),
            Command::Exited(exit) => self.exited(exit),
            Command::Ended(exit) => self.ended(&exit),
            Command::Probed(probed) => self.probed(probed),
            Command::OutOfMemory => self.out_of_memory(),
            Command::Again => self.again(),
            Command::Removed(result) => self.removed(&result),
        }
    }

    // Requests.

    fn start(&mut self, trace: TraceContext, reply: Reply) {
        match &mut self.life {
            Life::Running => {
                let paused = self.container.view().state.phase == Phase::Paused;
                let _ = reply.send(Err(if paused {
                    Error::Conflict(
                        "cannot start a paused container, try unpause instead".to_owned(),
                    )
                } else {
                    Error::NotModified("container is already started".to_owned())
                }));
            }
            Life::Starting { waiting } => waiting.push(reply),
            Life::Ending => self.deferred.push_back(Command::Start { trace, reply }),
            Life::Removing { .. } | Life::Gone => {
                let _ = reply.send(Err(Error::Conflict(
                    "container is marked for removal and cannot be started".to_owned(),
                )));
            }
            Life::Resting | Life::Waiting { .. } => {
                self.cancel_timer();
                self.delay = FIRST_DELAY;
                self.change(|state| {
                    state.manually_stopped = false;
                    state.restart_count = 0;
                });
                self.launch(trace, vec![reply]);
            }
        }
    }

    fn stop(&mut self, plan: stop::Plan, trace: TraceContext, reply: Reply) {
        match &self.life {
            Life::Starting { .. } | Life::Ending => {
                self.deferred.push_back(Command::Stop { plan, trace, reply });
            }
            Life::Waiting { .. } => {
                self.stay_stopped(!plan.restarting);
                let _ = reply.send(Ok(()));
            }
            Life::Running => {
                self.stopping = true;
                self.restarting = plan.restarting;
                self.change(|state| state.manually_stopped = true);
                let (shared, container) = (self.shared.clone(), self.container.clone());
                tokio::spawn(traced(trace, async move {
                    let result = stop::run(&shared, &container, plan).await;
                    if result.is_err() {
                        container.tell(Command::NotStopped).await;
                    }
                    let _ = reply.send(result);
                }));
            }
            Life::Resting | Life::Removing { .. } | Life::Gone => {
                let _ =
                    reply.send(Err(Error::NotModified("container is already stopped".to_owned())));
            }
        }
    }

    fn kill(&mut self, signal: i32, trace: TraceContext, reply: Reply) {
        if matches!(self.life, Life::Starting { .. }) {
            return self.deferred.push_back(Command::Kill { signal, trace, reply });
        }
        if matches!(self.life, Life::Waiting { .. }) {
            self.stay_stopped(true);
            let _ = reply.send(Ok(()));
            return;
        }
        let id = self.container.id();
        if !matches!(self.life, Life::Running) {
            let name = &self.container.record.name;
            let _ = reply.send(Err(Error::Conflict(format!(
                "cannot kill container: {name}: container {id} is not running"
            ))));
            return;
        }
        if stop::is_last(&self.container, signal) {
            self.change(|state| state.manually_stopped = true);
        }
        let (shared, container) = (self.shared.clone(), self.container.clone());
        tokio::spawn(traced(trace, async move {
            let _ = reply.send(match signal {
                // As dockerd: who kills is answered when it is dead.
                stop::SIGKILL => stop::kill(&shared, &container).await,
                signal => stop::signal(&shared, &container, signal).await,
            });
        }));
    }

    fn pause(&mut self, freeze: bool, trace: TraceContext, reply: Reply) {
        let id = self.container.id().to_string();
        let phase = self.container.view().state.phase;
        let refusal = match (&self.life, phase, freeze) {
            (Life::Running, Phase::Running, true) | (Life::Running, Phase::Paused, false) => None,
            (Life::Running, _, true) => {
                Some(Error::Conflict(format!("container {id} is already paused")))
            }
            (_, _, true) => Some(Error::NotRunning(id)),
            (_, _, false) => Some(Error::internal_text(format!("Container {id} is not paused"))),
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal));
            return;
        }
        let (shared, container) = (self.shared.clone(), self.container.clone());
        tokio::spawn(traced(trace, async move {
            let result = stop::freeze(&shared, &container, freeze).await;
            container.tell(Command::Paused { freeze, result, reply }).await;
        }));
    }

    fn remove(&mut self, options: RemoveOptions, trace: TraceContext, reply: Reply) {
        match &mut self.life {
            Life::Removing { waiting } => waiting.push(reply),
            Life::Gone => {
                let _ = reply.send(Ok(()));
            }
            Life::Starting { .. } | Life::Ending => {
                self.deferred.push_back(Command::Remove { options, trace, reply });
            }
            Life::Running if !options.force => {
                let name = &self.container.record.name;
                let paused = self.container.view().state.phase == Phase::Paused;
                let how = if paused { "paused" } else { "running" };
                let advice = if paused { "unpause and then stop" } else { "stop" };
                let _ = reply.send(Err(Error::Conflict(format!(
                    "cannot remove container \"{name}\": container is {how}: {advice} the \
                     container before removing or force remove"
                ))));
            }
            Life::Running => {
                let (_, waiting) = self.removal.get_or_insert((options, Vec::new()));
                waiting.push(reply);
                self.change(|state| state.manually_stopped = true);
                let (shared, container) = (self.shared.clone(), self.container.clone());
                tokio::spawn(traced(trace, async move {
                    if let Err(error) = stop::kill(&shared, &container).await {
                        container.tell(Command::NotKilled(error)).await;
                    }
                }));
            }
            Life::Resting | Life::Waiting { .. } => {
                self.cancel_timer();
                self.begin_removal(options, vec![reply], trace);
            }
        }
    }

    // Ends of jobs, and what happens by itself.

    fn launch(&mut self, trace: TraceContext, waiting: Vec<Reply>) {
        self.life = Life::Starting { waiting };
        self.change(|state| state.phase = Phase::Starting);
        let (shared, container) = (self.shared.clone(), self.container.clone());
        let teardown = self.teardown.take();
        tokio::spawn(traced(trace, async move {
            if let Some(mut teardown) = teardown {
                // An error means that the job is over, too.
                let _ = teardown.wait_for(|done| *done).await;
            }
            let result = start::run(&shared, &container).await;
            container.tell(Command::Started(result)).await;
        }));
    }

    fn started(&mut self, result: std::result::Result<start::Started, start::Failure>) {
        let Life::Starting { waiting } = std::mem::replace(&mut self.life, Life::Resting) else {
            return;
        };
        match result {
            Ok(started) => {
                self.life = Life::Running;
                self.change(|state| {
                    state.phase = Phase::Running;
                    state.pid = started.pid;
                    state.started_at = Some(Timestamp3339(Timestamp::now()));
                    state.finished_at = None;
                    state.exit_code = 0;
                    state.error.clear();
                    state.oom_killed = false;
                    let endpoints = started.sandbox.iter().flat_map(|sandbox| &sandbox.endpoints);
                    state.network_ids = endpoints
                        .map(|e| (e.network_name.clone(), e.network_id.to_string()))
                        .collect();
                    state.sandbox = started.sandbox;
                });
                self.expect_health();
                faults::reach(const { faults::step("daemon.run.task-started") });
                self.emit("start", []);
                exit::watch(&self.shared, &self.container);
                answer(waiting, &Ok(()));
            }
            Err(failure) => {
                self.change(|state| {
                    state.phase =
                        if state.started_at.is_some() { Phase::Exited } else { Phase::Created };
                    state.pid = 0;
                    state.exit_code = failure.exit_code;
                    state.error = failure.error.to_string();
                    state.finished_at = state.started_at.map(|_| Timestamp3339(Timestamp::now()));
                    state.sandbox = None;
                });
                if failure.died {
                    self.emit(
                        "die",
                        [
                            ("exitCode", failure.exit_code.to_string()),
                            ("execDuration", "0".to_owned()),
                        ],
                    );
                }
                answer(waiting, &Err(failure.error));
                if self.container.auto_remove() && !self.restarting {
                    let options = RemoveOptions { force: true, volumes: true };
                    self.begin_removal(options, Vec::new(), current_trace());
                }
            }
        }
        self.restarting = false;
    }

    fn paused(&mut self, freeze: bool, result: Result<()>, reply: Reply) {
        if result.is_ok() {
            self.set_paused(freeze);
        }
        let _ = reply.send(result);
    }

    fn set_paused(&mut self, paused: bool) {
        let is_paused = self.container.view().state.phase == Phase::Paused;
        if !matches!(self.life, Life::Running) || is_paused == paused {
            return;
        }
        self.change(|state| state.phase = if paused { Phase::Paused } else { Phase::Running });
        if paused {
            self.stop_monitor();
        } else {
            self.start_monitor();
        }
        self.emit(if paused { "pause" } else { "unpause" }, []);
    }

    /// Whoever wanted it gone by force is told that it is still there.
    fn not_killed(&mut self, error: &Error) {
        let Some((_, waiting)) = self.removal.take() else { return };
        let name = &self.container.record.name;
        let text = format!("cannot remove container \"{name}\": could not kill: {error}");
        tracing::error!(container = %self.container.id(), %error, "not removed");
        answer(waiting, &Err(Error::internal_text(text)));
    }

    fn out_of_memory(&mut self) {
        self.change(|state| state.oom_killed = true);
        self.emit("oom", []);
    }

    fn exited(&mut self, exit: exit::Exit) {
        if !matches!(self.life, Life::Running) {
            return;
        }
        faults::reach(const { faults::step("daemon.stop.exit-seen") });
        self.life = Life::Ending;
        self.stop_monitor();
        // On disk before the supervisor is told to forget the task, and the exit code with it.
        self.change(|state| {
            state.ending = Some(Ending { code: exit.code, at: Timestamp3339(exit.at) });
        });
        let (shared, container) = (self.shared.clone(), self.container.clone());
        self.teardown = Some(exit::tear_down(&shared, &container));
        tokio::spawn(async move {
            exit::free_network(&shared, &container).await;
            container.tell(Command::Ended(exit)).await;
        });
    }

    fn ended(&mut self, exit: &exit::Exit) {
        let before = self.container.view().state;
        let ran = before.started_at.map_or(Duration::ZERO, |start| {
            Duration::try_from(exit.at.duration_since(start.0)).unwrap_or_default()
        });
        exit::tell_disconnects(&self.shared, &self.container, before.sandbox.as_ref());
        if std::mem::take(&mut self.stopping) {
            self.emit("stop", []);
        }
        self.emit(
            "die",
            [("exitCode", exit.code.to_string()), ("execDuration", ran.as_secs().to_string())],
        );
        self.life = Life::Resting;
        let again =
            self.removal.is_none() && !before.manually_stopped && self.policy(&before, exit.code);
        self.change(|state| {
            state.phase = if again { Phase::Restarting } else { Phase::Exited };
            state.restart_count += i64::from(again);
            state.pid = 0;
            state.exit_code = exit.code;
            state.finished_at = Some(Timestamp3339(exit.at));
            state.sandbox = None;
            state.ending = None;
        });
        self.container.view.send_modify(|view| view.exits += 1);
        if again {
            return self.wait_and_start(ran);
        }
        if let Some((options, waiting)) = self.removal.take() {
            self.begin_removal(options, waiting, current_trace());
        } else if self.container.auto_remove() && !self.restarting {
            let options = RemoveOptions { force: false, volumes: true };
            self.begin_removal(options, Vec::new(), current_trace());
        }
    }

    /// Whether the restart policy wants it started again.
    fn policy(&self, state: &StateRecord, code: i64) -> bool {
        let policy = &self.container.record.host_config.restart_policy;
        let most = policy.maximum_retry_count;
        match policy.name.as_str() {
            "always" | "unless-stopped" => true,
            "on-failure" => code != 0 && (most == 0 || state.restart_count < most),
            _ => false,
        }
    }

    fn wait_and_start(&mut self, ran: Duration) {
        if ran >= LONG_RUN {
            self.delay = FIRST_DELAY;
        }
        let delay = self.delay;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        let container = self.container.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            container.tell(Command::Again).await;
        });
        self.life = Life::Waiting { timer: timer.abort_handle() };
    }

    fn again(&mut self) {
        if matches!(self.life, Life::Waiting { .. }) {
            self.launch(TraceContext::new(), Vec::new());
        }
    }

    fn begin_removal(&mut self, options: RemoveOptions, waiting: Vec<Reply>, trace: TraceContext) {
        self.life = Life::Removing { waiting };
        let teardown = self.teardown.take();
        self.change(|state| state.phase = Phase::Removing);
        faults::reach(const { faults::step("daemon.rm.marked") });
        let (shared, container) = (self.shared.clone(), self.container.clone());
        tokio::spawn(traced(trace, async move {
            let result = remove::run(&shared, &container, options, teardown).await;
            container.tell(Command::Removed(result)).await;
        }));
    }

    fn removed(&mut self, result: &Result<()>) {
        let Life::Removing { waiting } = std::mem::replace(&mut self.life, Life::Gone) else {
            return;
        };
        if let Err(error) = result {
            tracing::error!(container = %self.container.id(), %error, "container not removed");
            self.life = Life::Resting;
            self.change(|state| state.phase = Phase::Exited);
        }
        answer(waiting, result);
    }

    // Health.

    /// Looks at the health of a container that was just started or found running, as if for the
    /// first time.
    fn expect_health(&mut self) {
        if Check::of(&self.container.record.config).is_some() {
            self.change(|state| {
                state.health = Some(HealthRecord::starting(state.health.take()));
            });
            self.start_monitor();
        }
    }

    fn start_monitor(&mut self) {
        let (record, state) = (&self.container.record, self.container.view().state);
        let (Some(check), Some(started)) = (Check::of(&record.config), state.started_at) else {
            return;
        };
        if state.phase == Phase::Running {
            self.monitors += 1;
            let (shared, container) = (&self.shared, &self.container);
            let monitor = health::monitor(shared, container, check, started.0, self.monitors);
            self.monitor = Some(monitor);
        }
    }

    /// Nobody looks any more, which dockerd shows as unhealthy.
    fn stop_monitor(&mut self) {
        if self.monitor.take().is_some() {
            self.change(|state| {
                if let Some(health) = &mut state.health {
                    health.status = HealthStatus::Unhealthy;
                }
            });
        }
    }

    fn probed(&mut self, probed: health::Probed) {
        let state = self.container.view().state;
        let current = self.monitor.as_ref().is_some_and(|one| one.number == probed.monitor);
        let check = Check::of(&self.container.record.config).filter(|_| current);
        let (Some(check), Some(health), Some(started)) = (check, &state.health, state.started_at)
        else {
            return;
        };
        let mut after = health.clone();
        after.take(&check, probed.probe, started.0);
        let status = after.status;
        if status == health.status {
            // Told, and written with the next change of state: probes are many and cost no disk.
            self.container.view.send_modify(|view| view.state.health = Some(after));
        } else {
            self.change(|state| state.health = Some(after));
            self.emit(&format!("health_status: {}", status.as_str()), []);
        }
        // A monitor that was stopped meanwhile has nobody to tell.
        let _ = probed.reply.send(status);
    }

    // Helpers of the above.

    /// Ends the wait for the next start.
    fn stay_stopped(&mut self, by_a_person: bool) {
        self.cancel_timer();
        self.life = Life::Resting;
        self.change(|state| {
            state.phase = Phase::Exited;
            state.manually_stopped = by_a_person;
        });
    }

    fn cancel_timer(&mut self) {
        if let Life::Waiting { timer } = &self.life {
            timer.abort();
        }
    }

    /// Changes the state, on disk first, then for everybody: who reads it may act on it, and
    /// must not be ahead of what a crash leaves.
    fn change(&self, with: impl FnOnce(&mut StateRecord)) {
        let mut state = self.container.view().state;
        with(&mut state);
        let (id, volatile) = (self.container.id(), self.container.auto_remove());
        if let Err(error) = self.shared.store.write_state(id, volatile, &state) {
            tracing::error!(container = %id, %error, "container state not written");
        }
        self.container.view.send_modify(|view| view.state = state);
    }

    fn emit<const N: usize>(&self, action: &str, more: [(&str, String); N]) {
        let mut attributes = self.container.event_attributes();
        attributes.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
        self.shared.events.emit("container", action, self.container.id().as_str(), attributes);
    }
}

fn answer(waiting: Vec<Reply>, result: &Result<()>) {
    for reply in waiting {
        // Who asked may be gone; the work was done all the same.
        let _ = reply.send(result.clone());
    }
}
