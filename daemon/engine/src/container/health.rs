//! Health checks: a command that is run in the container again and again, and what its results say
//! about the container. The rules are dockerd's.
//!
//! A monitor is a task beside the driver. It waits, has the command run (`exec::probe`), tells
//! the driver, and waits again; the driver owns the health and ends the monitor when the container
//! is frozen or ends.

use super::{Command, Container};
use crate::record::{HealthRecord, HealthStatus, ProbeRecord, Timestamp3339};
use crate::shared::Shared;
use contracts_engine_api::container::Config;
use jiff::Timestamp;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The time between two probes, and before the first one.
const INTERVAL: Duration = Duration::from_secs(30);
/// The same, while the container may still be starting.
const START_INTERVAL: Duration = Duration::from_secs(5);
/// A probe that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Failures in a row that make a container unhealthy.
const RETRIES: i64 = 3;
/// Probes that are remembered.
const KEPT: usize = 5;
/// The shell of `CMD-SHELL`, where the image names none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A container's health check, what was left open filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) command: Vec<String>,
    pub(crate) timeout: Duration,
    interval: Duration,
    start_interval: Duration,
    /// Failures within it do not count, until the first success.
    start_period: Duration,
    retries: i64,
}

impl Check {
    /// The check of a container's configuration, when it has one.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let health = config.healthcheck.as_ref()?;
        let (kind, words) = health.test.as_deref()?.split_first()?;
        let command = match kind.as_str() {
            "CMD" => words.to_vec(),
            "CMD-SHELL" => {
                let shell = config.shell.clone().filter(|shell| !shell.is_empty());
                let shell = shell.unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
                shell.into_iter().chain(words.iter().cloned()).collect()
            }
            // `NONE`, or a kind of which dockerd, too, only says that it does not know it.
            _ => return None,
        };
        let time = |nanoseconds: i64, default| match u64::try_from(nanoseconds) {
            Ok(0) | Err(_) => default,
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
        };
        (!command.is_empty()).then(|| Self {
            command,
            timeout: time(health.timeout, TIMEOUT),
            interval: time(health.interval, INTERVAL),
            start_interval: time(health.start_interval, START_INTERVAL),
            start_period: time(health.start_period, Duration::ZERO),
            retries: if health.retries > 0 { health.retries } else { RETRIES },
        })
    }

    /// How long to wait before the next probe of a container that has run for so long.
    fn pause(&self, age: Duration, status: HealthStatus) -> Duration {
        if age < self.start_period && status == HealthStatus::Starting {
            self.start_interval
        } else {
            self.interval
        }
    }
}

impl HealthRecord {
    /// The health of a container that was just started, or found again; earlier probes are kept.
    pub(super) fn starting(before: Option<Self>) -> Self {
        let log = before.map(|before| before.log).unwrap_or_default();
        Self { status: HealthStatus::Starting, failing_streak: 0, log }
    }

    /// Takes in what a probe found in a container that was started then.
    pub(super) fn take(&mut self, check: &Check, probe: ProbeRecord, started: Timestamp) {
        let (succeeded, age) = (probe.exit_code == 0, age(started, probe.start.0));
        if self.log.len() >= KEPT {
            self.log.drain(..=self.log.len() - KEPT);
        }
        self.log.push(probe);
        if succeeded {
            self.status = HealthStatus::Healthy;
            self.failing_streak = 0;
        } else if self.status != HealthStatus::Starting || age >= check.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
    }
}

fn age(started: Timestamp, now: Timestamp) -> Duration {
    // A clock that was set back makes it younger than nothing.
    Duration::try_from(now.duration_since(started)).unwrap_or_default()
}

/// A monitor at work; it ends when this is dropped.
pub(super) struct Monitor {
    /// Tells its results from those of an earlier one.
    pub(super) number: u64,
    _stop: oneshot::Sender<Infallible>,
}

/// What a monitor tells the driver; the answer is the health that follows.
pub(crate) struct Probed {
    pub(super) monitor: u64,
    pub(super) probe: ProbeRecord,
    pub(super) reply: oneshot::Sender<HealthStatus>,
}

/// Begins to look after a container that was started then.
pub(super) fn monitor(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    check: Check,
    started: Timestamp,
    number: u64,
) -> Monitor {
    let (stop, mut stopped) = oneshot::channel();
    let (shared, container) = (shared.clone(), container.clone());
    tokio::spawn(async move {
        let health = container.view().state.health;
        let mut status = health.map_or(HealthStatus::Starting, |health| health.status);
        loop {
            let pause = check.pause(age(started, Timestamp::now()), status);
            // Cancel-safe: both only wait.
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                () = tokio::time::sleep(pause) => {}
            }
            let start = Timestamp3339(Timestamp::now());
            let Some(result) = shared.probe(&container, &check, &mut stopped).await else { return };
            let (exit_code, output) = result;
            let end = Timestamp3339(Timestamp::now());
            let (reply, answer) = oneshot::channel();
            let probe = ProbeRecord { start, end, exit_code, output };
            container.tell(Command::Probed(Probed { monitor: number, probe, reply })).await;
            // A driver that has another monitor by now does not answer.
            let Ok(next) = answer.await else { return };
            status = next;
        }
    });
    Monitor { number, _stop: stop }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts_engine_api::container::HealthConfig;

    fn config(test: &[&str], start_period_s: i64) -> Config {
        Config {
            healthcheck: Some(HealthConfig {
                test: Some(test.iter().map(|word| (*word).to_owned()).collect()),
                start_period: start_period_s * 1_000_000_000,
                retries: 2,
                ..HealthConfig::default()
            }),
            ..Config::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn probe(second: i64, exit_code: i64) -> ProbeRecord {
        let (start, end) = (Timestamp3339(at(second)), Timestamp3339(at(second)));
        ProbeRecord { start, end, exit_code, output: second.to_string() }
    }

    #[test]
    fn a_check_is_a_command_or_a_shells_line() {
        let command = |config: &Config| Check::of(config).map(|check| check.command);
        assert_eq!(command(&config(&["CMD", "a", "b"], 0)).unwrap(), ["a", "b"]);
        assert_eq!(command(&config(&["CMD-SHELL", "a b"], 0)).unwrap(), ["/bin/sh", "-c", "a b"]);
        let mut own = config(&["CMD-SHELL", "a b"], 0);
        own.shell = Some(vec!["bash".to_owned()]);
        assert_eq!(command(&own).unwrap(), ["bash", "a b"]);
        for none in [&["NONE"][..], &["CMD"], &["HTTP", "x"], &[]] {
            assert_eq!(command(&config(none, 0)), None, "{none:?}");
        }
        assert_eq!(command(&Config::default()), None);
    }

    #[test]
    fn probes_are_close_to_each_other_until_the_first_success_in_the_start_period() {
        let check = Check::of(&config(&["CMD", "x"], 60)).unwrap();
        let second = Duration::from_secs;
        assert_eq!(check.pause(second(1), HealthStatus::Starting), START_INTERVAL);
        assert_eq!(check.pause(second(1), HealthStatus::Healthy), INTERVAL);
        assert_eq!(check.pause(second(60), HealthStatus::Starting), INTERVAL);
    }

    #[test]
    fn as_many_failures_as_retries_make_it_unhealthy_and_one_success_healthy() {
        let check = Check::of(&config(&["CMD", "x"], 0)).unwrap();
        let mut health = HealthRecord::starting(None);
        let mut after = |second, code| {
            health.take(&check, probe(second, code), at(0));
            (health.status, health.failing_streak)
        };
        assert_eq!(after(1, 1), (HealthStatus::Starting, 1));
        assert_eq!(after(2, 0), (HealthStatus::Healthy, 0));
        assert_eq!(after(3, -1), (HealthStatus::Healthy, 1));
        assert_eq!(after(4, 5), (HealthStatus::Unhealthy, 2));
        assert_eq!(after(5, 5), (HealthStatus::Unhealthy, 3));
        assert_eq!(after(6, 0), (HealthStatus::Healthy, 0));
        let kept: Vec<&str> = health.log.iter().map(|probe| probe.output.as_str()).collect();
        assert_eq!(kept, ["2", "3", "4", "5", "6"]);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_before_the_first_success() {
        let check = Check::of(&config(&["CMD", "x"], 10)).unwrap();
        let mut health = HealthRecord::starting(None);
        for second in 1..9 {
            health.take(&check, probe(second, 1), at(0));
        }
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 0));
        health.take(&check, probe(9, 0), at(0));
        health.take(&check, probe(9, 1), at(0));
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Healthy, 1));
    }
}
