//! The logger of shim and runtime: one line an entry, `key=value` fields, to a descriptor.
//!
//! Lines look like the other programs': `time=… level=… msg="…" program=shim trace_id=…`.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something that was asked for did not happen.
    Error,
    /// Abnormal, carried on.
    Warning,
    /// Rare news.
    Info,
    /// For whoever follows one request.
    Debug,
}

impl Level {
    /// The level's name in a log line, logrus' names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `key=value` (logfmt).
    #[default]
    Text,
    /// One JSON object a line, as runc's `--log-format json`.
    Json,
}

/// Formats one entry, with a final newline.
#[must_use]
pub fn line(format: Format, level: Level, message: &str, fields: &[(&str, &str)]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = timestamp(now.as_secs(), now.subsec_nanos());
    let mut out = String::with_capacity(128);
    match format {
        Format::Text => {
            let _ = write!(out, "time=\"{time}\" level={} msg={message:?}", level.name());
            for (key, value) in fields {
                let _ = write!(out, " {key}={value:?}");
            }
        }
        Format::Json => {
            out.push_str("{\"level\":");
            quote(&mut out, level.name());
            out.push_str(",\"msg\":");
            quote(&mut out, message);
            for (key, value) in fields {
                out.push(',');
                quote(&mut out, key);
                out.push(':');
                quote(&mut out, value);
            }
            let _ = write!(out, ",\"time\":\"{time}\"}}");
        }
    }
    out.push('\n');
    out
}

/// Writes one entry with a single `write`, so that lines of several processes do not mix; a
/// failing log is not worth failing for.
pub fn write(
    to: &mut impl Write,
    format: Format,
    level: Level,
    message: &str,
    fields: &[(&str, &str)],
) {
    let _ = to.write_all(line(format, level, message, fields).as_bytes());
}

/// RFC 3339 with nanoseconds, UTC.
#[must_use]
pub fn timestamp(unix_seconds: u64, nanoseconds: u32) -> String {
    // Civil-from-days (proleptic Gregorian), so that shim and runtime need no calendar crate.
    let days = i64::try_from(unix_seconds / 86_400).unwrap_or(0) + 719_468;
    let second_of_day = unix_seconds % 86_400;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{nanoseconds:09}Z",
        second_of_day / 3_600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    )
}

/// Appends `text` as a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_have_their_calendar_date() {
        assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(timestamp(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(timestamp(1_709_251_199, 0), "2024-02-29T23:59:59.000000000Z");
    }

    #[test]
    fn json_lines_escape_what_json_wants_escaped() {
        let line = line(Format::Json, Level::Error, "a \"b\"\n\u{1}", &[("id", "c\\d")]);
        assert!(
            line.starts_with(r#"{"level":"error","msg":"a \"b\"\n\u0001","id":"c\\d","time":"#)
        );
    }
}
