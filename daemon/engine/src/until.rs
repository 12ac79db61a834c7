//! The `until` filter: an instant, or how long ago.

use crate::error::{Error, Result};
use contracts_engine_api::Filters;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// What the filter says; `None` where it is not given.
pub(crate) fn until(filters: &Filters) -> Result<Option<Timestamp>> {
    let mut values = filters.get("until");
    let Some(text) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid("more than one until filter specified"));
    }
    let read = read(text, Timestamp::now());
    read.map(Some).ok_or_else(|| Error::Invalid(format!("invalid filter 'until={text}'")))
}

/// Reads `24h`, Unix seconds with or without a fraction, RFC 3339 and its beginnings (in UTC).
fn read(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(Some(time)) = contracts_engine_api::timestamp::from_query(text) {
        return Some(time);
    }
    if let Ok(ago) = text.parse::<SignedDuration>() {
        return now.checked_sub(ago).ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil = text.parse::<DateTime>().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_all_of_dockers_ways() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (text, second) in [
            ("24h", 1_000_000 - 86_400),
            ("1h30m", 1_000_000 - 5_400),
            ("900000", 900_000),
            ("1970-01-02T00:00:00Z", 86_400),
            ("1970-01-02T01:00:00+01:00", 86_400),
            ("1970-01-02T00:00:01", 86_401),
            ("1970-01-02", 86_400),
        ] {
            assert_eq!(read(text, now).map(Timestamp::as_second), Some(second), "{text}");
        }
        assert_eq!(read("yesterday", now), None);
    }

    #[test]
    fn one_instant_at_most() {
        let filters = |json| Filters::from_json(json).unwrap();
        assert_eq!(until(&Filters::default()).unwrap(), None);
        assert!(until(&filters(r#"{"until":["1","2"]}"#)).is_err());
        let error = until(&filters(r#"{"until":["x"]}"#)).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'until=x'");
    }
}
