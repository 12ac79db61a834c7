//! Full image references: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
//!
//! Short names are the daemon's business; here a host is always said.

use base_ids::Digest;
use base_ids::reference::{is_component, is_domain, is_tag};
use std::fmt;
use std::str::FromStr;

/// The longest reference accepted.
const MAX_REFERENCE: usize = 1024;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is not a full reference.
#[derive(Debug, thiserror::Error)]
#[error("invalid reference {text:?}: {why}")]
pub struct InvalidReference {
    text: String,
    why: &'static str,
}

impl Reference {
    /// The registry, with its port if one is said.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest, if one is said.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What names the manifest: the digest, else the tag.
    #[must_use]
    pub fn object(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let wrong = |why| InvalidReference { text: text.chars().take(200).collect(), why };
        if text.len() > MAX_REFERENCE {
            return Err(wrong("it is too long"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                (name, Some(digest.parse().map_err(|_| wrong("its digest is not a sha256 one"))?))
            }
            None => (text, None),
        };
        let (host, path) = name.split_once('/').ok_or_else(|| wrong("it names no registry"))?;
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (path, None),
        };
        if !is_domain(host) {
            return Err(wrong("its registry is not a host"));
        }
        if !repository.split('/').all(is_component) {
            return Err(wrong("its repository is not one"));
        }
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("its tag is not one"));
        }
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_come_apart_and_together_again() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, host, repository, object) in [
            ("docker.io/library/debian:12", "docker.io", "library/debian", "12"),
            ("localhost:5000/a", "localhost:5000", "a", "latest"),
            ("[::1]:5000/a/b__c-d.e:T_1.x", "[::1]:5000", "a/b__c-d.e", "T_1.x"),
            (&format!("r.io/n:t@{digest}"), "r.io", "n", digest.as_str()),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((reference.host(), reference.repository()), (host, repository));
            assert_eq!(reference.object(), object);
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn what_could_become_another_url_is_refused() {
        for bad in [
            "",
            "debian",
            "/x",
            "r.io/",
            "r.io/A",
            "r.io/a//b",
            "r.io/../b",
            "r.io/a:",
            "r.io/a:/",
            "user@r.io/a",
            "r.io?x/a",
            "r.io#/a",
            "r.io/a?b",
            "r.io/a b",
            "r.io/a@sha256:00",
            "r.io/a:b c",
            "r.io/a%2fb",
            "../a:t",
            "./a:t",
            "r..io/a:t",
            "[x]/a",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
