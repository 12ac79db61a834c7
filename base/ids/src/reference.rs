//! Image references: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, in full and as people write them
//! (distribution/reference, `reference.go` and `normalize.go`).

use crate::Digest;
use std::fmt;

/// Docker Hub, which people leave out.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// Another name of it, from before there were others.
const LEGACY_DOMAIN: &str = "index.docker.io";
/// Where Docker Hub's own images are, which people leave out too.
const OFFICIAL: &str = "library/";
/// The longest path, the domain apart, and the longest tag.
const MAX_PATH: usize = 255;
const MAX_TAG: usize = 128;

/// An image's name in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no image's name. The words are Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Not of the form of a name.
    #[error("invalid reference format")]
    Format,
    /// Upper case.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Case(String),
    /// Too long.
    #[error("repository name must not be more than {MAX_PATH} characters")]
    Length,
    /// It would be taken for an image's id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
}

impl Reference {
    /// Reads a name; one without tag and digest means the tag `latest`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        Self::parse_bare(text).map(Self::with_default_tag)
    }

    /// Reads a name as it stands.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn parse_bare(text: &str) -> Result<Self, InvalidReference> {
        if is_identifier(text) {
            return Err(InvalidReference::Identifier(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| InvalidReference::Format)?))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (domain, path) = split_domain(name);
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidReference::Case(path));
        }
        let good = is_domain(&domain)
            && path.split('/').all(is_component)
            && tag.as_deref().is_none_or(is_tag);
        if !good {
            return Err(InvalidReference::Format);
        }
        if path.len() > MAX_PATH {
            return Err(InvalidReference::Length);
        }
        Ok(Self { domain, path, tag, digest })
    }

    /// With the tag `latest` when there is neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The same name with this tag or digest instead.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub fn with(&self, tag_or_digest: &str) -> Result<Self, InvalidReference> {
        let mark = if tag_or_digest.contains(':') { '@' } else { ':' };
        Self::parse_bare(&format!("{}{mark}{tag_or_digest}", self.name()))
    }

    /// Whether there is neither tag nor digest.
    #[must_use]
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The registry's domain: `docker.io`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Domain and path: `docker.io/library/debian`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// As people write it: `debian`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        let short = self.path.strip_prefix(OFFICIAL).filter(|rest| !rest.contains('/'));
        short.unwrap_or(&self.path).to_owned()
    }

    /// [`Reference::familiar_name`] with tag and digest: `debian:12`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }

    /// `library/debian` for Docker Hub, the whole name elsewhere.
    #[must_use]
    pub fn path_with_registry(&self) -> String {
        if self.domain == DEFAULT_DOMAIN { self.path.clone() } else { self.name() }
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_ref().map(Digest::as_str)
    }

    fn suffix(&self) -> String {
        let tag = self.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

/// The name in full.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), self.suffix())
    }
}

/// Whether a text is an image's whole id, with or without `sha256:`, and so no name.
#[must_use]
pub fn is_image_id(text: &str) -> bool {
    is_identifier(text) || text.parse::<Digest>().is_ok()
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !path.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL}{path}"));
    }
    (domain.to_owned(), path.to_owned())
}

/// Whether this is a registry's name: a host name or an address, with or without a port.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_is_good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    host_is_good
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether this is a part of a path: lower-case letters and digits, joined by one `.`, one or two
/// `_`, or any number of `-`.
#[must_use]
pub fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(word)
        && text.ends_with(word)
        && text
            .split(word)
            .all(|join| matches!(join, "" | "." | "_" | "__") || join.bytes().all(|b| b == b'-'))
}

/// Whether this is a tag.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_become_full_and_short_again() {
        for (text, full, familiar) in [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("a/b:1", "docker.io/a/b:1", "a/b:1"),
            ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"),
            ("localhost/x:t", "localhost/x:t", "localhost/x:t"),
            ("[::1]:5000/x:t", "[::1]:5000/x:t", "[::1]:5000/x:t"),
            ("reg.io/a/b/c:v", "reg.io/a/b/c:v", "reg.io/a/b/c:v"),
            ("index.docker.io/library/q:9", "docker.io/library/q:9", "q:9"),
            ("127.0.0.1:5000/d/e:f", "127.0.0.1:5000/d/e:f", "127.0.0.1:5000/d/e:f"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
        }
    }

    #[test]
    fn a_digest_stands_in_place_of_the_default_tag() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let reference = Reference::parse(&format!("debian@{digest}")).unwrap();
        assert_eq!(reference.to_string(), format!("docker.io/library/debian@{digest}"));
        assert_eq!((reference.tag(), reference.digest()), (None, Some(digest.as_str())));
        let other = Reference::parse("debian").unwrap().with(&digest).unwrap();
        assert_eq!(other, reference);
        assert!(Reference::parse("debian@sha256:12").is_err());
    }

    #[test]
    fn what_is_no_name_is_refused_in_dockers_words() {
        assert_eq!(
            Reference::parse("Debian").unwrap_err().to_string(),
            "invalid reference format: repository name (library/Debian) must be lowercase"
        );
        assert_eq!(Reference::parse(&"a".repeat(250)), Err(InvalidReference::Length));
        for bad in [
            "", ":", "a:", "a b", "-a", "a-", "a..b", "a/", "a:/b", "a___b", "../x", "a.-b/x",
            "x@y", "x:.t", "a//b", "[x]/a", "[::1/a", "h:p/a", "a\n",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
        for good in ["a--b", "a__b", "a.b", "a_b", "0"] {
            assert!(Reference::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn ids_are_no_names() {
        let id = "ab".repeat(32);
        assert!(is_image_id(&id) && is_image_id(&format!("sha256:{id}")));
        assert!(!is_image_id("abab") && !is_image_id("debian:12"));
        assert!(matches!(Reference::parse(&id), Err(InvalidReference::Identifier(_))));
    }
}
