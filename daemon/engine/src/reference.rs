//! Image references: `[registry/]path[:tag][@digest]`, in full and as people write them.

use crate::error::{Error, Result};
use std::fmt;

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
/// Longest name and tag (distribution's reference grammar).
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A normalized reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// Reads a reference; one without tag and digest gets the tag `latest`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let reference = Self::parse_bare(text)?;
        Ok(match (&reference.tag, &reference.digest) {
            (None, None) => Self { tag: Some("latest".into()), ..reference },
            _ => reference,
        })
    }

    /// Reads a reference as it stands.
    pub(crate) fn parse_bare(text: &str) -> Result<Self> {
        let invalid = || Error::invalid("invalid reference format");
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                if digest.parse::<base_ids::Digest>().is_err() {
                    return Err(invalid());
                }
                (rest, Some(digest.to_owned()))
            }
            None => (text, None),
        };
        let last_slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[last_slash..].find(':') {
            Some(colon) => {
                let (name, tag) = rest.split_at(last_slash + colon);
                (name, Some(tag[1..].to_owned()))
            }
            None => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !valid_tag(tag)) {
            return Err(invalid());
        }
        let (domain, path) = split_domain(name);
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Error::Invalid(format!(
                "invalid reference format: repository name ({path}) must be lowercase"
            )));
        }
        let components = path.split('/').all(valid_component);
        if !valid_domain(&domain) || domain.len() + path.len() > MAX_NAME || !components {
            return Err(invalid());
        }
        Ok(Self { domain, path, tag, digest })
    }

    /// The same name with this tag or digest instead.
    pub(crate) fn with(&self, tag_or_digest: &str) -> Result<Self> {
        let text = if tag_or_digest.starts_with("sha256:") {
            format!("{}@{tag_or_digest}", self.name())
        } else {
            format!("{}:{tag_or_digest}", self.name())
        };
        Self::parse_bare(&text)
    }

    /// `docker.io/library/debian`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// `debian`: as people write it.
    pub(crate) fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        self.path.strip_prefix(OFFICIAL).filter(|p| !p.contains('/')).unwrap_or(&self.path).into()
    }

    /// `library/debian` for the default registry, with the registry elsewhere.
    pub(crate) fn path_with_registry(&self) -> String {
        if self.domain == DEFAULT_DOMAIN { self.path.clone() } else { self.name() }
    }

    /// `debian:12`, `debian@sha256:…`.
    pub(crate) fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    /// The tag.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

/// The reference in full.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), self.suffix())
    }
}

fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
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

/// A host name or address, with or without a port.
fn valid_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_is_valid = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    host_is_valid
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn valid_component(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !word(*first) || !word(*last) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
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
            ("index.docker.io/library/q:9", "docker.io/library/q:9", "q:9"),
            ("127.0.0.1:5000/d/e:f", "127.0.0.1:5000/d/e:f", "127.0.0.1:5000/d/e:f"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
        }
    }

    #[test]
    fn digests_replace_the_default_tag() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let reference = Reference::parse(&format!("debian@{digest}")).unwrap();
        assert_eq!(reference.to_string(), format!("docker.io/library/debian@{digest}"));
        assert!(Reference::parse("debian@sha256:12").is_err());
    }

    #[test]
    fn bad_references_fail_in_dockers_words() {
        assert_eq!(
            Reference::parse("Debian").unwrap_err().to_string(),
            "invalid reference format: repository name (library/Debian) must be lowercase"
        );
        for bad in
            ["", ":", "a:", "a b", "-a", "a-", "a..b", "a/", "a:/b", "a___b", "../x", "a.-b/x"]
        {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
        for good in ["a--b", "a__b", "a.b", "a_b", "0"] {
            assert!(Reference::parse(good).is_ok(), "{good}");
        }
    }
}
