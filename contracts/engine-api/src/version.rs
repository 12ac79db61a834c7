//! API versions: dotted numbers, compared part by part.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A version of the Engine API as it stands in a path, such as `1.44`.
///
/// The text is kept, because error messages repeat it; comparison goes part by part, and a missing
/// part is zero: `1.4` is older than `1.24`, `1.40.1` is accepted (observed on dockerd).
#[derive(Clone, Debug)]
pub struct ApiVersion(String);

/// A text that is no API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a dotted number")]
pub struct InvalidApiVersion;

/// No path needs a longer version; a bound for hostile ones.
const LONGEST: usize = 32;

impl ApiVersion {
    /// `major.minor`.
    #[must_use]
    pub fn new(major: u16, minor: u16) -> Self {
        Self(format!("{major}.{minor}"))
    }

    /// The newest version that is spoken.
    #[must_use]
    pub fn newest() -> Self {
        Self::new(1, 56)
    }

    /// The oldest version that is spoken.
    #[must_use]
    pub fn oldest() -> Self {
        Self::new(1, 24)
    }

    /// Whether this is at least `1.minor`.
    #[must_use]
    pub fn at_least(&self, minor: u16) -> bool {
        *self >= Self::new(1, minor)
    }

    /// Whether this is older than `1.minor`.
    #[must_use]
    pub fn before(&self, minor: u16) -> bool {
        !self.at_least(minor)
    }

    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> impl Iterator<Item = u64> {
        self.0.split('.').map(|part| part.parse().unwrap_or(0))
    }
}

impl FromStr for ApiVersion {
    type Err = InvalidApiVersion;
    fn from_str(text: &str) -> Result<Self, InvalidApiVersion> {
        let fits = !text.is_empty() && text.len() <= LONGEST;
        if fits && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidApiVersion)
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for ApiVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut ours, mut theirs) = (self.parts(), other.parts());
        loop {
            let (a, b) = (ours.next(), theirs.next());
            if a.is_none() && b.is_none() {
                return Ordering::Equal;
            }
            let order = a.unwrap_or(0).cmp(&b.unwrap_or(0));
            if order != Ordering::Equal {
                return order;
            }
        }
    }
}

impl PartialOrd for ApiVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ApiVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ApiVersion {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ApiVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_compare_part_by_part_and_not_as_fractions() {
        assert!(version("1.4") < version("1.24"));
        assert!(version("1") < version("1.24"));
        assert!(version("1.40.1") > version("1.40"));
        assert_eq!(version("1.40.0"), version("1.40"));
        assert!(version("1.56").at_least(56) && version("1.55.9").before(56));
    }

    #[test]
    fn texts_that_are_no_dotted_number_are_refused() {
        for bad in ["", "x", "1.x", "1.40-rc1", &"1".repeat(33)] {
            assert!(bad.parse::<ApiVersion>().is_err(), "{bad}");
        }
    }
}
