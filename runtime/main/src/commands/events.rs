//! `events`.

use super::document;
use crate::Global;
use crate::arguments::Parsed;
use crate::failure::Failure;
use contracts_runtime_api::Stats;
use runtime_container::{Error, Happening};
use serde::Serialize;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// One line of output.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Stats>,
}

/// `events`.
pub(crate) fn events(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let id = parsed.id()?;
    let interval = duration(parsed.flags.value("interval").unwrap_or("5s"))?;
    let mut watch = runtime_container::watch(&global.root, id).map_err(|error| match error {
        Error::NotRunning => Failure::Other(format!("container with id {id} is not running")),
        error => error.into(),
    })?;
    if parsed.flags.has("stats") {
        return print(id, Some(&watch.stats()?)).map(|()| 0);
    }
    let mut next = Instant::now() + interval;
    loop {
        match watch.wait(next)? {
            Happening::OutOfMemory => print(id, None)?,
            Happening::Ended => return Ok(0),
            Happening::Nothing => {
                print(id, Some(&watch.stats()?))?;
                next = Instant::now().max(next + interval);
            }
        }
    }
}

/// Prints what is used, or that memory was wanting.
fn print(id: &str, stats: Option<&Stats>) -> Result<(), Failure> {
    let kind = if stats.is_some() { "stats" } else { "oom" };
    let data = stats.map(Stats::to_printed);
    let line = document::line(&Event { kind, id, data })?;
    // Nobody may be reading any more.
    writeln!(std::io::stdout(), "{line}").map_err(|error| {
        let reason = runtime_container::io_reason(&error);
        Failure::Other(format!("write the event: {reason}"))
    })
}

/// A duration as Go writes it: `5s`, `1.5s`, `1m30s`, `100ms`.
fn duration(text: &str) -> Result<Duration, Failure> {
    let wrong = || Failure::Usage(format!("invalid value {text:?} for --interval"));
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, unit) = rest.split_at(split);
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let unit_seconds = match &unit[..end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        seconds += number * unit_seconds;
        rest = &unit[end..];
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    // Go's are 64 bits of nanoseconds, and as many can be added to any time.
    let fits = !duration.is_zero() && i64::try_from(duration.as_nanos()).is_ok();
    if fits { Ok(duration) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_understood() {
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1.5s").unwrap(), Duration::from_millis(1500));
        for bad in [
            "",
            "5",
            "s",
            "0s",
            "5x",
            "-1s",
            "1.2.3s",
            "1s5",
            "9999999h",
            "9999999999999999999999h",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
