//! `events`.

use super::document;
use crate::Global;
use crate::arguments::Parsed;
use crate::failure::Failure;
use contracts_runtime_api::Stats;
use serde::Serialize;
use std::time::Duration;

/// One line of output.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Stats>,
}

/// `events`.
pub(crate) fn events(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let id = parsed.id()?;
    let interval = duration(parsed.flags.value("interval").unwrap_or("5s"))?;
    let mut kills = None;
    loop {
        let stats = match runtime_container::stats(&global.root, id) {
            Ok(stats) => stats,
            // It ended while it was watched.
            Err(_) if kills.is_some() => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        if kills.is_some_and(|before| stats.memory.oom_kills > before) {
            println!("{}", document::line(&Event { kind: "oom", id, data: None })?);
        }
        kills = Some(stats.memory.oom_kills);
        println!("{}", document::line(&Event { kind: "stats", id, data: Some(&stats) })?);
        if parsed.flags.has("stats") {
            return Ok(0);
        }
        std::thread::sleep(interval);
    }
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
    if duration.is_zero() { Err(wrong()) } else { Ok(duration) }
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
        for bad in ["", "5", "s", "0s", "5x", "-1s", "1.2.3s", "1s5", "9999999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
