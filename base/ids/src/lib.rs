//! Identifiers that cross program boundaries, each a type of its own, so that a container id is
//! never passed where an image id is meant.

#![forbid(unsafe_code)]

pub mod reference;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that is not an identifier of the wanted sort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {text:?}: {why}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    why: &'static str,
}

/// How many of an id's digits people are shown.
const SHORT: usize = 12;

/// Draws an id: 64 random hexadecimal digits, the form of container, network and endpoint ids.
fn random_id() -> String {
    loop {
        let id = random_hex_64();
        // The short form is a container's host name, and C libraries take one that is all decimal
        // digits for an IPv4 address. One draw in 280 is.
        if !id.as_bytes()[..SHORT].iter().all(u8::is_ascii_digit) {
            return id;
        }
    }
}

fn random_hex_64() -> String {
    use std::fmt::Write as _;
    let mut bytes = [0_u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
                .expect("getrandom(2) does not fail once the kernel has booted");
    }
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new random id.
            #[must_use]
            pub fn random() -> Self {
                Self(random_id())
            }

            /// All 64 hexadecimal digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first twelve digits, for people; of a random id they are a valid host name.
            #[must_use]
            pub fn short(&self) -> &str {
                &self.0[..SHORT]
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if text.len() == 64 && text.bytes().all(hex) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { what: $what, text, why: "not 64 lower-case hexadecimal digits" })
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

hex_id!(
    /// A container of the Engine API.
    ContainerId,
    "container id"
);
hex_id!(
    /// An exec session of the Engine API.
    ExecId,
    "exec id"
);
hex_id!(
    /// A network of the Engine API.
    NetworkId,
    "network id"
);
hex_id!(
    /// A sandbox's attachment to a network.
    EndpointId,
    "endpoint id"
);

/// A content digest, `sha256:` and 64 hexadecimal digits (OCI image-spec, descriptor).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    const PREFIX: &str = "sha256:";

    /// The digest whose 32 bytes these are.
    #[must_use]
    pub fn from_sha256(bytes: &[u8; 32]) -> Self {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(71);
        text.push_str(Self::PREFIX);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// `sha256:…`, whole.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[Self::PREFIX.len()..]
    }
}

impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = |why| InvalidId { what: "digest", text: text.to_owned(), why };
        let hex = text.strip_prefix(Self::PREFIX).ok_or_else(|| wrong("not a sha256 digest"))?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != 64 || !hex.bytes().all(is_hex) {
            return Err(wrong("not 64 lower-case hexadecimal digits"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl AsRef<str> for Digest {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_valid_and_differ() {
        let (a, b) = (ContainerId::random(), ContainerId::random());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<ContainerId>().unwrap(), a);
        assert_eq!(a.short().len(), 12);
    }

    /// Of ten thousand, 35 would be expected.
    #[test]
    fn a_short_random_id_is_never_a_number() {
        for _ in 0..10_000 {
            let id = ContainerId::random();
            assert!(id.short().parse::<u64>().is_err(), "{id}");
        }
    }

    #[test]
    fn digests_with_a_wrong_length_case_or_algorithm_are_refused() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(good.parse::<Digest>().unwrap().hex().len(), 64);
        for bad in
            ["", "sha256:", "sha512:00", &good.to_uppercase(), &good[..70], "../../etc/passwd"]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
