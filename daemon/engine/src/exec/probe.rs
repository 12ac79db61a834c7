//! Running a health check's command: an exec whose output stays here.

use super::{Exec, Progress};
use crate::client::Client;
use crate::container::{Check, Container};
use crate::error::{Error, Result};
use crate::requests::{ClientStream, ExecStartOptions, Transport};
use crate::shared::Shared;
use crate::supervisor::{current_trace, traced};
use base_errors::Kind;
use bytes::Bytes;
use contracts_engine_api::exec::ExecCreateRequest;
use contracts_shim_api::attach::Framing;
use contracts_supervisor_api::services::tasks::KillRequest;
use contracts_supervisor_api::status;
use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Bytes of output that are kept; the rest is read and dropped.
const MAX_OUTPUT: usize = 4096;
/// How long the command may take to start. It is not part of the check's own time limit.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long to wait for the end of the output of a command that has ended.
const LINGER: Duration = Duration::from_secs(2);
const SIGKILL: u32 = 9;
/// The exit code where the command has none to show.
const NO_CODE: i64 = -1;

/// What a command has written so far.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// There was more.
    cut: bool,
}

impl Output {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = (MAX_OUTPUT - kept.bytes.len()).min(bytes.len());
        kept.bytes.extend_from_slice(&bytes[..room]);
        kept.cut |= room < bytes.len();
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept.bytes);
        if kept.cut { format!("{text}...") } else { text.into_owned() }
    }

    async fn read(self, mut stream: UnixStream) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            self.add(&buffer[..count]);
        }
    }
}

impl Shared {
    /// Runs a check's command once: exit code and output, as the container's health shows them.
    /// `None` when `stopped` was ready before the command had ended; it is killed then.
    pub(crate) async fn probe(
        self: &Arc<Self>,
        container: &Arc<Container>,
        check: &Check,
        stopped: &mut oneshot::Receiver<Infallible>,
    ) -> Option<(i64, String)> {
        let request = ExecCreateRequest {
            cmd: Some(check.command.clone()),
            attach_stdout: true,
            attach_stderr: true,
            ..ExecCreateRequest::default()
        };
        let exec = Exec::new(container.clone(), request, Vec::new(), Framing::Raw);
        self.execs.insert(exec.clone());
        self.tell_exec("exec_create", &exec);
        let result = self.probe_with(&exec, check.timeout, stopped).await;
        self.execs.remove(&exec);
        result.unwrap_or_else(|error| {
            tracing::warn!(container = %container.id(), %error, "health check not run");
            Some((NO_CODE, error.to_string()))
        })
    }

    async fn probe_with(
        self: &Arc<Self>,
        exec: &Arc<Exec>,
        limit: Duration,
        stopped: &mut oneshot::Receiver<Infallible>,
    ) -> Result<Option<(i64, String)>> {
        let output = Output::default();
        let Some(mut reader) = self.probe_launch(exec, &output, stopped).await? else {
            return Ok(None);
        };
        // Cancel-safe: all three only wait.
        let code = tokio::select! {
            biased;
            _ = &mut *stopped => None,
            code = finished(exec) => Some(code),
            () = tokio::time::sleep(limit) => {
                self.exec_kill(exec).await;
                // Dying commands must not pile up.
                tokio::select! {
                    biased;
                    _ = &mut *stopped => None,
                    _ = finished(exec) => Some(None),
                }
            }
        };
        let Some(code) = code else {
            self.exec_kill(exec).await;
            return Ok(None);
        };
        let _ = tokio::time::timeout(LINGER, &mut reader).await;
        let said = output.text();
        let late = || format!("Health check exceeded timeout ({})", go_duration(limit));
        Ok(Some(match code {
            Some(code) => (code, said),
            None if said.is_empty() => (NO_CODE, late()),
            None => (NO_CODE, format!("{}: {said}", late())),
        }))
    }

    /// Starts the command, and a task that reads its output. What was begun is ended in the
    /// background when this takes too long or is not wanted any more.
    async fn probe_launch(
        self: &Arc<Self>,
        exec: &Arc<Exec>,
        output: &Output,
        stopped: &mut oneshot::Receiver<Infallible>,
    ) -> Result<Option<tokio::task::JoinHandle<()>>> {
        let failed = |error: std::io::Error| Error::internal("read health check", error);
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let theirs = OwnedFd::from(theirs.into_std().map_err(failed)?);
        let client = ClientStream { transport: Transport::Socket(theirs), buffered: Bytes::new() };
        let client = Client::new(client)?;
        exec.claim()?;
        self.tell_exec("exec_start", exec);
        let reader = tokio::spawn(output.clone().read(ours));
        let (shared, launching) = (self.clone(), exec.clone());
        let mut launch = tokio::spawn(traced(current_trace(), async move {
            let options = ExecStartOptions::default();
            let launched = shared.exec_launch(&launching, options, Some(client)).await;
            match launched {
                Ok(_) => Ok(()),
                Err((error, code)) => {
                    launching.advance(Progress::Finished { code, pid: 0 });
                    shared.exec_forget(&launching).await;
                    Err(error)
                }
            }
        }));
        // Cancel-safe: the launch is a task.
        let given_up = tokio::select! {
            biased;
            launched = &mut launch => {
                let launched = launched.map_err(|e| Error::internal("start health check", e))?;
                return launched.map(|()| Some(reader));
            }
            _ = stopped => Ok(None),
            () = tokio::time::sleep(START_LIMIT) => Err(Error::internal_text(format!(
                "timed out starting health check for container {}",
                exec.container.id()
            ))),
        };
        let (shared, exec) = (self.clone(), exec.clone());
        tokio::spawn(async move {
            if let Ok(Ok(())) = launch.await {
                shared.exec_kill(&exec).await;
            }
        });
        given_up
    }

    async fn exec_kill(&self, exec: &Exec) {
        let request = self.supervisor.call(KillRequest {
            container_id: exec.container.id().to_string(),
            exec_id: exec.id.to_string(),
            signal: SIGKILL,
            all: false,
        });
        match self.supervisor.tasks().kill(request).await {
            Err(error) if status::kind(&error) != Kind::NotFound => {
                tracing::debug!(exec = %exec.id, error = error.message(), "kill health check");
            }
            _ => {}
        }
    }
}

/// Waits for a session's end and gives its exit code.
async fn finished(exec: &Exec) -> Option<i64> {
    let mut progress = exec.progress.subscribe();
    let over = |progress: &Progress| matches!(progress, Progress::Finished { .. });
    match progress.wait_for(over).await.as_deref() {
        Ok(Progress::Finished { code, .. }) => Some(*code),
        // The sender is the session itself.
        _ => None,
    }
}

/// A time of at least a millisecond as Go prints it: `1m30s`, `1.5s`, `250ms`.
fn go_duration(duration: Duration) -> String {
    let fraction = |whole: u64, rest: u32, digits: usize| {
        let text = format!("{whole}.{rest:0digits$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match seconds {
        0 => format!("{}ms", fraction(u64::from(nanos / 1_000_000), nanos % 1_000_000, 6)),
        1..60 => format!("{}s", fraction(rest, nanos, 9)),
        60..3600 => format!("{minutes}m{}s", fraction(rest, nanos, 9)),
        _ => format!("{hours}h{minutes}m{}s", fraction(rest, nanos, 9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_up_to_its_limit() {
        let output = Output::default();
        output.add(&[b'x'; MAX_OUTPUT - 1]);
        output.add(b"y");
        assert_eq!(output.text().len(), MAX_OUTPUT);
        output.add(b"z");
        assert!(output.text().ends_with("xy..."));
    }

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (millis, text) in [
            (1, "1ms"),
            (250, "250ms"),
            (1_500, "1.5s"),
            (30_000, "30s"),
            (60_000, "1m0s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }
}
