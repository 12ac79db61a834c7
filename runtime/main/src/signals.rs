//! Signals by name.

use crate::failure::Failure;

const NAMES: [(&str, i32); 33] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("POLL", 29),
];
const REALTIME_MIN: i32 = 34;
const REALTIME_MAX: i32 = 64;

/// The number of a signal given by number or by name, with or without `SIG`.
pub(crate) fn parse(text: &str) -> Result<i32, Failure> {
    let unknown = || Failure::Other(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=REALTIME_MAX).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset = |digits: &str| digits.parse::<i32>().ok();
    let realtime = match name {
        "RTMIN" => Some(REALTIME_MIN),
        "RTMAX" => Some(REALTIME_MAX),
        _ => name
            .strip_prefix("RTMIN+")
            .and_then(offset)
            .map(|n| REALTIME_MIN.saturating_add(n))
            .or_else(|| {
                name.strip_prefix("RTMAX-").and_then(offset).map(|n| REALTIME_MAX.saturating_sub(n))
            }),
    };
    realtime.filter(|number| (REALTIME_MIN..=REALTIME_MAX).contains(number)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_prefix_and_numbers_are_understood() {
        for text in ["9", "KILL", "SIGKILL", "sigkill"] {
            assert_eq!(parse(text).unwrap(), 9);
        }
        assert_eq!(parse("SIGRTMIN+3").unwrap(), 37);
        assert_eq!(parse("RTMAX-1").unwrap(), 63);
        for bad in ["SIGNOPE", "RTMIN+99", "-1", "65", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
