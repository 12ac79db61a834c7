//! Signals: kill, stop with its time limit, pause.

use super::{Command, Container};
use crate::error::{Error, Result};
use crate::record::Phase;
use crate::requests::StopOptions;
use crate::shared::Shared;
use crate::supervisor::failed;
use base_errors::Kind;
use base_faults as faults;
use contracts_supervisor_api::services::tasks::{
    KillRequest, PauseTaskRequest, ResizePtyRequest, ResumeTaskRequest,
};
use contracts_supervisor_api::status;
use std::sync::Arc;
use std::time::Duration;

pub(super) const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// Seconds until SIGKILL.
const TIMEOUT: i64 = 10;
/// How long a killed task may take to be seen dead before that is an error.
const DEATH: Duration = Duration::from_secs(30);

/// How a container is to be stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    signal: i32,
    /// `None` waits for ever.
    timeout: Option<Duration>,
    /// It is started again after.
    pub(super) restarting: bool,
}

impl Plan {
    /// What the request and the container's configuration say.
    pub(crate) fn new(
        container: &Container,
        options: &StopOptions,
        restarting: bool,
    ) -> Result<Self> {
        let signal = match options.signal.as_deref() {
            None | Some("") => stop_signal(container),
            Some(text) => parse_signal(text)
                .ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))?,
        };
        let seconds = options.timeout.or(container.record.config.stop_timeout).unwrap_or(TIMEOUT);
        let timeout = u64::try_from(seconds).ok().map(Duration::from_secs);
        Ok(Self { signal, timeout, restarting })
    }
}

/// Whether a container is meant to end by this signal: then no policy starts it again, and it is
/// thawed to receive it. Without a stop signal of its own, dockerd takes every signal for that.
pub(super) fn is_last(container: &Container, signal: i32) -> bool {
    container.record.config.stop_signal.is_empty()
        || signal == SIGKILL
        || signal == stop_signal(container)
}

/// The signal that asks a container to end.
pub(super) fn stop_signal(container: &Container) -> i32 {
    parse_signal(&container.record.config.stop_signal).unwrap_or(SIGTERM)
}

/// Signals, waits, kills, and waits again; the exit is handled by the driver.
pub(super) async fn run(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    plan: Plan,
) -> Result<()> {
    let mut view = container.watch();
    let exits = view.borrow().exits;
    let over = |view: &super::View| view.exits > exits || view.removed.is_some();
    if let Err(error) = signal(shared, container, plan.signal).await {
        tracing::warn!(container = %container.id(), %error, "stop signal");
    }
    faults::reach(const { faults::step("daemon.stop.signalled") });
    let ended = async { view.wait_for(over).await.map(drop) };
    let ended = match plan.timeout {
        // A driver that is gone means a container that is gone.
        None => ended.await.is_ok(),
        Some(timeout) => tokio::time::timeout(timeout, ended).await.is_ok(),
    };
    if ended { Ok(()) } else { kill(shared, container).await }
}

/// Kills the task and waits until it is dead.
pub(super) async fn kill(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    let mut view = container.watch();
    let exits = view.borrow().exits;
    match signal(shared, container, SIGKILL).await {
        Err(Error::NotRunning(_)) | Ok(()) => {}
        Err(error) => return Err(error),
    }
    let over = |view: &super::View| view.exits > exits || view.removed.is_some();
    match tokio::time::timeout(DEATH, view.wait_for(over)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::internal_text(format!(
            "cannot kill container: {}: tried to kill container, but did not receive an exit event",
            container.record.name
        ))),
    }
}

/// Sends a signal and tells so; thaws a frozen container that is to end by it.
pub(super) async fn signal(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    signal: i32,
) -> Result<()> {
    send(shared, container, signal).await?;
    // A frozen process receives nothing; on cgroup v1 not even SIGKILL.
    if container.view().state.phase == Phase::Paused && is_last(container, signal) {
        match freeze(shared, container, false).await {
            Ok(()) => container.tell(Command::Thawed).await,
            Err(error) => tracing::warn!(container = %container.id(), %error, "thaw for a signal"),
        }
    }
    Ok(())
}

async fn send(shared: &Shared, container: &Container, signal: i32) -> Result<()> {
    let id = container.id().to_string();
    let number = u32::try_from(signal).unwrap_or_default();
    let request =
        KillRequest { container_id: id.clone(), signal: number, ..KillRequest::default() };
    let result = shared.supervisor.tasks().kill(shared.supervisor.call(request)).await;
    match result {
        Ok(_) => {}
        Err(error)
            if matches!(status::kind(&error), Kind::NotFound)
                || error.message().contains("process already finished") =>
        {
            return Err(Error::NotRunning(id));
        }
        Err(error) => return Err(failed("kill container")(error)),
    }
    let mut attributes = container.event_attributes();
    attributes.insert("signal".to_owned(), signal.to_string());
    shared.events.emit("container", "kill", &id, attributes);
    Ok(())
}

/// Freezes or thaws the task.
pub(super) async fn freeze(shared: &Shared, container: &Container, freeze: bool) -> Result<()> {
    let container_id = container.id().to_string();
    let supervisor = &shared.supervisor;
    let result = if freeze {
        supervisor.tasks().pause(supervisor.call(PauseTaskRequest { container_id })).await
    } else {
        supervisor.tasks().resume(supervisor.call(ResumeTaskRequest { container_id })).await
    };
    result.map(drop).map_err(failed(if freeze { "pause container" } else { "unpause container" }))
}

impl Shared {
    /// `POST /containers/{id}/stop`.
    pub(crate) async fn container_stop(&self, id: &str, options: &StopOptions) -> Result<()> {
        let container = self.containers.find(id)?;
        let plan = Plan::new(&container, options, false)?;
        container.ask(|trace, reply| Command::Stop { plan, trace, reply }).await
    }

    /// `POST /containers/{id}/restart`.
    pub(crate) async fn container_restart(&self, id: &str, options: &StopOptions) -> Result<()> {
        let container = self.containers.find(id)?;
        let plan = Plan::new(&container, options, true)?;
        match container.ask(|trace, reply| Command::Stop { plan, trace, reply }).await {
            Ok(()) | Err(Error::NotModified(_)) => {}
            Err(error) => return Err(error),
        }
        container.ask(|trace, reply| Command::Start { trace, reply }).await?;
        let attributes = container.event_attributes();
        self.events.emit("container", "restart", container.id().as_str(), attributes);
        Ok(())
    }

    /// `POST /containers/{id}/kill`.
    pub(crate) async fn container_kill(&self, id: &str, signal: Option<&str>) -> Result<()> {
        let container = self.containers.find(id)?;
        let signal = match signal {
            None | Some("") => SIGKILL,
            Some(text) => parse_signal(text)
                .ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))?,
        };
        container.ask(|trace, reply| Command::Kill { signal, trace, reply }).await
    }

    /// `POST /containers/{id}/resize`.
    pub(crate) async fn container_resize(&self, id: &str, height: u32, width: u32) -> Result<()> {
        let container = self.containers.find(id)?;
        if !container.view().has_task() {
            return Err(Error::NotRunning(container.id().to_string()));
        }
        self.resize(container.id().as_str(), "", height, width).await?;
        let mut attributes = container.event_attributes();
        attributes.insert("height".to_owned(), height.to_string());
        attributes.insert("width".to_owned(), width.to_string());
        self.events.emit("container", "resize", container.id().as_str(), attributes);
        Ok(())
    }

    /// Sets the size of a process' terminal.
    pub(crate) async fn resize(
        &self,
        container: &str,
        exec: &str,
        height: u32,
        width: u32,
    ) -> Result<()> {
        let request = self.supervisor.call(ResizePtyRequest {
            container_id: container.to_owned(),
            exec_id: exec.to_owned(),
            height,
            width,
        });
        self.supervisor.tasks().resize_pty(request).await.map(drop).map_err(failed("resize tty"))
    }
}

/// Reads `9`, `KILL`, `SIGKILL` and `RTMIN+3`.
pub(super) fn parse_signal(text: &str) -> Option<i32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let plus = if rest.is_empty() { 0 } else { rest.strip_prefix('+')?.parse().ok()? };
        return Some(RTMIN + plus).filter(|number| *number <= RTMAX);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        let minus = if rest.is_empty() { 0 } else { rest.strip_prefix('-')?.parse().ok()? };
        return Some(RTMAX - minus).filter(|number| *number >= RTMIN);
    }
    match name {
        "IOT" => Some(6),
        "CLD" => Some(17),
        "POLL" => Some(29),
        _ => NAMES.iter().position(|one| *one == name).and_then(|at| i32::try_from(at + 1).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_by_number_and_name() {
        assert_eq!(parse_signal("KILL"), Some(SIGKILL));
        assert_eq!(parse_signal("sigterm"), Some(SIGTERM));
        assert_eq!(parse_signal("CONT"), Some(18));
        assert_eq!(parse_signal("SIGRTMIN+3"), Some(37));
        assert_eq!(parse_signal("RTMAX-1"), Some(63));
        for bad in ["", "0", "65", "NOPE", "RTMIN+99", "-9"] {
            assert_eq!(parse_signal(bad), None, "{bad}");
        }
    }
}
