//! Points in time: reading them from flags, writing them for people.

use crate::quantity;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// The local time zone. Not `TimeZone::system`, which walks through the whole zone database when
/// there is no `TZ`, and costs as much as all the rest of a command.
fn zone() -> TimeZone {
    /// No zone is this long.
    const MAX: u64 = 1024 * 1024;
    let read = || -> Option<TimeZone> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open("/etc/localtime").ok()?;
        file.take(MAX).read_to_end(&mut bytes).ok()?;
        TimeZone::tzif("Local", &bytes).ok()
    };
    ZONE.get_or_init(|| read().unwrap_or(TimeZone::UTC)).clone()
}

/// Uses the zone that `TZ` names in place of the machine's; to be called before any command.
pub fn use_zone(name: &str) {
    let name = name.trim_start_matches(':');
    if let Ok(zone) = TimeZone::get(name).or_else(|_| TimeZone::posix(name)) {
        let _ = ZONE.set(zone);
    }
}

/// Reads `--since` and `--until` (`42m`, RFC 3339 with parts left out, Unix seconds) as the API
/// takes them: seconds, with nanoseconds behind a point.
///
/// # Errors
///
/// When the text is no time.
pub(crate) fn parameter(text: &str, now: Timestamp) -> Result<String, String> {
    if let Ok(ago) = quantity::parse_duration(text)
        && text != "0"
    {
        let then = now.as_nanosecond() - i128::from(ago);
        let then = Timestamp::from_nanosecond(then).map_err(|error| error.to_string())?;
        return Ok(seconds(then));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(seconds(time));
    }
    // Without a zone: local time.
    if let Ok(time) = local(text) {
        return Ok(seconds(time));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !whole.is_empty() && digits(whole) && digits(fraction) {
        return Ok(text.to_owned());
    }
    Err(format!("failed to parse value as time or duration: {text:?}"))
}

fn local(text: &str) -> Result<Timestamp, jiff::Error> {
    let complete = match text.len() {
        10 => format!("{text}T00:00:00"),
        13 => format!("{text}:00:00"),
        16 => format!("{text}:00"),
        _ => text.to_owned(),
    };
    // A date with a zone but no time of day: `2013-01-02Z`.
    if let Some(date) = text.strip_suffix('Z').filter(|date| date.len() == 10) {
        return format!("{date}T00:00:00Z").parse();
    }
    let time: DateTime = complete.parse()?;
    Ok(time.to_zoned(zone())?.timestamp())
}

fn seconds(time: Timestamp) -> String {
    format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())
}

/// `2 hours ago`, of Unix seconds.
#[must_use]
pub(crate) fn ago(unix: i64) -> String {
    if unix == 0 {
        return "N/A".to_owned();
    }
    let passed = Timestamp::now().as_second().saturating_sub(unix).max(0);
    let passed = Duration::from_secs(u64::try_from(passed).unwrap_or(0));
    quantity::human_duration(passed) + " ago"
}

/// Go's way to print a time: `2026-01-02 03:04:05 +0000 UTC`, in local time.
#[must_use]
pub(crate) fn go_text(unix: i64) -> String {
    let zone = zone();
    Timestamp::from_second(unix).map_or_else(
        |_| String::new(),
        |time| time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
    )
}

/// RFC 3339 with nine digits of fraction in local time, as events are printed.
#[must_use]
pub(crate) fn event_text(unix_nano: i64) -> String {
    let zone = zone();
    Timestamp::from_nanosecond(i128::from(unix_nano))
        .map_or_else(
            |_| String::new(),
            |time| time.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string(),
        )
        .replace("+00:00", "Z")
}

/// RFC 3339 without a fraction, in local time.
#[must_use]
pub(crate) fn short_text(unix: i64) -> String {
    let zone = zone();
    Timestamp::from_second(unix)
        .map_or_else(
            |_| String::new(),
            |time| time.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        )
        .replace("+00:00", "Z")
}

/// As `docker version` prints build times: `Fri May 30 12:07:14 2025`.
#[must_use]
pub(crate) fn ansi_text(rfc3339: &str) -> String {
    rfc3339.parse::<Timestamp>().map_or_else(
        |_| rfc3339.to_owned(),
        |time| time.to_zoned(TimeZone::UTC).strftime("%a %b %e %H:%M:%S %Y").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let read = |text| parameter(text, now).unwrap_or_else(|error| error);
        assert_eq!(read("10m"), "1767225600.000000000");
        assert_eq!(read("2026-01-01T00:00:00Z"), "1767225600.000000000");
        assert_eq!(read("2026-01-01T00:00:00.5Z"), "1767225600.500000000");
        assert_eq!(read("1767225600"), "1767225600");
        assert_eq!(read("0"), "0");
        assert_eq!(read("1136073600.000000001"), "1136073600.000000001");
        assert!(read("yesterday").contains("failed to parse"));
        assert!(read("2026-01-01T00:00").ends_with(".000000000"));
    }
}
