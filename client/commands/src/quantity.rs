//! Sizes, times and fractions: reading them from flags, writing them for people, in the forms of
//! Docker's go-units.

use std::time::Duration;

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// `2.5MB`, with four digits.
#[must_use]
pub(crate) fn human_size(bytes: f64) -> String {
    scaled(bytes, 1000.0, 4, &DECIMAL)
}

/// `2.5MB`, with three digits: tables.
#[must_use]
pub(crate) fn short_size(bytes: f64) -> String {
    scaled(bytes, 1000.0, 3, &DECIMAL)
}

/// `2.5MiB`, with four digits: memory.
#[must_use]
pub(crate) fn memory_size(bytes: f64) -> String {
    scaled(bytes, 1024.0, 4, &BINARY)
}

fn scaled(mut value: f64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= base && unit < units.len() - 1 {
        value /= base;
        unit += 1;
    }
    significant(value, digits) + units[unit]
}

/// Go's `%.{digits}g`: so many significant digits, no trailing zeros, and an exponent where the
/// number is too long for them (`1e+03`).
fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:.*e}", digits - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| -> String {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    let most = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= most {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(most - 1 - exponent).unwrap_or(0);
    trimmed(&format!("{value:.decimals$}"))
}

/// `3 minutes`: a time that has passed.
#[must_use]
pub(crate) fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".to_owned(),
        (.., 2..48) => format!("{hours} hours"),
        (.., 48..336) => format!("{} days", hours / 24),
        (.., 336..1440) => format!("{} weeks", hours / 24 / 7),
        (.., 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// Reads `10m`, `1.5gb`, `512`: base 1024 (go-units' `RAMInBytes`).
///
/// # Errors
///
/// In its words.
pub(crate) fn parse_bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    // `-1` means "without limit" in the memory-swap flag.
    if text == "-1" {
        return Ok(-1);
    }
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.').ok_or_else(invalid)? + 1;
    let (number, rest) = text.split_at(end);
    let number = number.trim();
    let value: f64 = number.parse().map_err(|_| invalid())?;
    if value < 0.0 || !value.is_finite() {
        return Err(invalid());
    }
    let suffix = rest.trim_start().to_ascii_lowercase();
    let scale = match suffix.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    if !matches!(suffix.len(), 0..=3) || suffix == "ib" || suffix.ends_with('i') {
        return Err(format!("invalid suffix: '{suffix}'"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and no machine has 8 EiB")]
    let bytes = (value * 1024_f64.powi(scale)) as i64;
    Ok(bytes)
}

/// Reads Go's durations: `1h2m3.5s`, `100ms`; nanoseconds.
///
/// # Errors
///
/// In Go's words.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..unit_end] {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += number * scale;
        rest = &rest[unit_end..];
    }
    #[expect(clippy::cast_possible_truncation, reason = "saturates at 292 years")]
    let nanoseconds = total as i64;
    Ok(if negative { -nanoseconds } else { nanoseconds })
}

/// Reads `--cpus`: a decimal or a ratio, in billionths of a CPU.
///
/// # Errors
///
/// In Docker's words.
pub(crate) fn parse_cpus(text: &str) -> Result<i64, String> {
    let invalid = || format!("failed to parse {text} as a rational number");
    let number =
        |part: &str| part.parse::<f64>().ok().filter(|n| n.is_finite()).ok_or_else(invalid);
    let value = match text.split_once('/') {
        Some((above, below)) => number(above)? / number(below)?,
        None => number(text)?,
    };
    if !value.is_finite() {
        return Err(invalid());
    }
    let nano = value * 1e9;
    if (nano - nano.round()).abs() > 1e-3 {
        return Err("value is too precise".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, reason = "saturates far above any machine")]
    let nano = nano.round() as i64;
    Ok(nano)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_dockers_digits() {
        assert_eq!(human_size(0.0), "0B");
        assert_eq!(human_size(1_234_567.0), "1.235MB");
        assert_eq!(short_size(4_261_502.0), "4.26MB");
        assert_eq!(short_size(999_900.0), "1e+03kB");
        assert_eq!(short_size(100_000_000.0), "100MB");
        assert_eq!(memory_size(1_048_576.0), "1MiB");
        assert_eq!(memory_size(8_157_265_920.0), "7.597GiB");
    }

    #[test]
    fn durations_are_told_as_docker_tells_them() {
        let told = |seconds| human_duration(Duration::from_secs(seconds));
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (180, "3 minutes"),
            (3600, "About an hour"),
            (5399, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (730 * 86_400, "2 years"),
        ] {
            assert_eq!(told(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn byte_flags_take_dockers_suffixes() {
        for (text, bytes) in
            [("512", 512), ("1k", 1024), ("10M", 10 << 20), ("1.5gb", 3 << 29), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_bytes("-1"), Ok(-1));
        assert_eq!(parse_bytes("1x").unwrap_err(), "invalid suffix: 'x'");
        assert_eq!(parse_bytes("m").unwrap_err(), "invalid size: 'm'");
        assert!(parse_bytes("-5m").is_err());
    }

    #[test]
    fn go_durations_are_read() {
        assert_eq!(parse_duration("1m30s"), Ok(90_000_000_000));
        assert_eq!(parse_duration("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse_duration("0"), Ok(0));
        assert!(parse_duration("5").unwrap_err().contains("missing unit"));
        assert!(parse_duration("5x").unwrap_err().contains("unknown unit"));
    }

    #[test]
    fn cpus_are_decimals_or_ratios() {
        assert_eq!(parse_cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(parse_cpus("1/4"), Ok(250_000_000));
        assert!(parse_cpus("z").unwrap_err().starts_with("failed to parse z"));
        assert_eq!(parse_cpus("0.0000000001").unwrap_err(), "value is too precise");
    }
}
