//! Points in time: seconds with a fraction in queries, RFC 3339 in bodies.

use jiff::Timestamp;

/// The time that Docker sends for "never".
pub const ZERO: &str = "0001-01-01T00:00:00Z";

/// A text that is no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTimestamp(String);

/// Reads `since` and `until`: Unix seconds with up to nine digits of fraction. Empty is `None`.
///
/// # Errors
/// The text is no such number; the error says so in Go's words.
pub fn from_query(text: &str) -> Result<Option<Timestamp>, InvalidTimestamp> {
    if text.is_empty() {
        return Ok(None);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let wrong = |unit: &str, part: &str| {
        InvalidTimestamp(format!(
            "invalid timestamp {text:?}: invalid {unit} {part:?}: invalid syntax"
        ))
    };
    let seconds: i64 = seconds.parse().map_err(|_| wrong("seconds", seconds))?;
    let digits: String = fraction.chars().take(9).collect();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("nanoseconds", fraction));
    }
    let nanoseconds: i32 =
        format!("{digits:0<9}").parse().map_err(|_| wrong("nanoseconds", fraction))?;
    let sign = if text.starts_with('-') { -1 } else { 1 };
    Timestamp::new(seconds, sign * nanoseconds)
        .map(Some)
        .map_err(|_| InvalidTimestamp(format!("time {text} is out of range")))
}

/// RFC 3339 with as many digits of fraction as are not zero, in UTC: Go's `RFC3339Nano`.
#[must_use]
pub fn to_text(time: Timestamp) -> String {
    time.to_string()
}

/// Reads a body's time; [`ZERO`] and the empty text are `None`.
#[must_use]
pub fn from_text(text: &str) -> Option<Timestamp> {
    if text.is_empty() || text == ZERO { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_take_seconds_with_a_fraction() {
        let time = from_query("1136073600.000000001").unwrap().unwrap();
        assert_eq!(time.as_nanosecond(), 1_136_073_600_000_000_001);
        assert_eq!(from_query("5.5").unwrap().unwrap().as_millisecond(), 5_500);
        assert_eq!(from_query("").unwrap(), None);
        assert_eq!(
            from_query("bad").unwrap_err().to_string(),
            "invalid timestamp \"bad\": invalid seconds \"bad\": invalid syntax"
        );
        assert!(from_query("1.x").is_err());
    }

    #[test]
    fn bodies_take_and_give_rfc_3339() {
        let text = "2026-11-22T09:00:00.123456789Z";
        assert_eq!(to_text(from_text(text).unwrap()), text);
        assert_eq!(from_text(ZERO), None);
    }
}
