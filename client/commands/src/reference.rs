//! Image names: what is written, and what is meant.

use std::fmt;

/// Docker Hub's name, which people leave out.
const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL: &str = "library/";
const LONGEST: usize = 255;

/// An image's full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// A text that is no image name; the text is Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidReference {
    /// Not of the form of a name.
    #[error("invalid reference format")]
    Format,
    /// Upper case.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Case(String),
    /// Too long.
    #[error("repository name must not be more than 255 characters")]
    Length,
}

impl Reference {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidReference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (domain, path) = split_domain(name);
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(InvalidReference::Case(path));
        }
        if domain.len() + path.len() >= LONGEST {
            return Err(InvalidReference::Length);
        }
        let good = valid_domain(&domain)
            && path.split('/').all(valid_component)
            && tag.as_deref().is_none_or(valid_tag)
            && digest.as_deref().is_none_or(valid_digest);
        if good { Ok(Self { domain, path, tag, digest }) } else { Err(InvalidReference::Format) }
    }

    /// With the tag `latest` when there is neither tag nor digest.
    #[must_use]
    pub(crate) fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The registry's domain.
    #[must_use]
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether there is neither tag nor digest.
    #[must_use]
    pub(crate) fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Domain and path.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name without what people leave out.
    #[must_use]
    pub(crate) fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        let short = self.path.strip_prefix(OFFICIAL).filter(|rest| !rest.contains('/'));
        short.unwrap_or(&self.path).to_owned()
    }

    /// [`Reference::familiar_name`] with tag and digest.
    #[must_use]
    pub(crate) fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }

    /// What to ask a registry for: the digest, else the tag.
    #[must_use]
    pub(crate) fn tag_or_digest(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("")
    }

    /// The tag.
    #[must_use]
    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map_or(String::new(), |tag| format!(":{tag}"));
        let digest = self.digest.as_ref().map_or(String::new(), |digest| format!("@{digest}"));
        tag + &digest
    }
}

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
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !path.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL}{path}"));
    }
    (domain.to_owned(), path.to_owned())
}

fn valid_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    (bracketed || host.split('.').all(label))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Lower-case words joined by one dot, one or two underscores, or any number of dashes.
fn valid_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    let bytes = text.as_bytes();
    let ends_well = |b: Option<&u8>| b.is_some_and(|&b| word(b));
    if !ends_well(bytes.first()) || !ends_well(bytes.last()) {
        return false;
    }
    text.split(|c: char| c.is_ascii_alphanumeric())
        .all(|join| matches!(join, "" | "." | "_" | "__") || join.bytes().all(|b| b == b'-'))
        && !text.bytes().any(|b| b.is_ascii_uppercase())
}

fn valid_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
        && text.bytes().next().is_some_and(word)
}

fn valid_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm.bytes().all(|b| b.is_ascii_alphanumeric() || b"+._-".contains(&b))
            && hex.len() >= 32
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_completed_and_shortened_again() {
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("a/b:1", "docker.io/a/b:1", "a/b:1"),
            ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"),
            ("reg.io/a/b/c:v", "reg.io/a/b/c:v", "reg.io/a/b/c:v"),
            ("index.docker.io/x", "docker.io/library/x:latest", "x:latest"),
        ] {
            let reference = Reference::parse(text).unwrap().with_default_tag();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
        }
        let digest = format!("x@sha256:{}", "a".repeat(64));
        let reference = Reference::parse(&digest).unwrap().with_default_tag();
        assert_eq!(reference.familiar(), digest);
        assert!(reference.tag_or_digest().starts_with("sha256:"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", ":", "a b", "-a", "a..b", "a/", "x:", "x@y", "a___b", "x:.t", "a//b"] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
        assert!(matches!(Reference::parse("Foo"), Err(InvalidReference::Case(_))));
    }
}
