//! API versions and their order.

use std::fmt;
use std::str::FromStr;

/// A version of the Engine API, such as 1.51.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The part before the point.
    pub major: u16,
    /// The part after the point.
    pub minor: u16,
}

impl ApiVersion {
    /// The newest version whose answers this client knows how to show.
    pub const NEWEST: Self = Self { major: 1, minor: 51 };
}

/// A text that is no API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API version such as 1.40")]
pub struct InvalidVersion;

impl FromStr for ApiVersion {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let text = text.trim();
        let (major, minor) =
            text.strip_prefix('v').unwrap_or(text).split_once('.').ok_or(InvalidVersion)?;
        let number = |part: &str| part.parse().map_err(|_| InvalidVersion);
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_numbers_not_as_text() {
        let version = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert!(version("1.9") < version("1.24"));
        assert!(version("v1.51") == ApiVersion::NEWEST);
        assert!("1".parse::<ApiVersion>().is_err());
    }
}
