//! Units' names, and where systemd puts them (systemd.unit(5), systemd.slice(5)).

use super::Error;

const SLICE: &str = ".slice";
/// The prefix of a container whose configuration names no path, as with runc.
const DEFAULT_PREFIX: &str = "runc";

/// A container's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The scope: `docker-ID.scope`.
    pub(super) unit: String,
    /// The slice that it is in: `a-b.slice`.
    pub(super) slice: String,
}

impl Name {
    /// Reads `slice:prefix:name`; without a path it is `:runc:ID`.
    pub(super) fn parse(path: &str, id: &str, default_slice: &str) -> Result<Self, Error> {
        let wrong = || Error::Path(path.to_owned());
        let (slice, prefix, name) = if path.is_empty() {
            ("", DEFAULT_PREFIX, id)
        } else {
            let mut parts = path.split(':');
            let mut next = || parts.next().ok_or_else(wrong);
            let found = (next()?, next()?, next()?);
            if parts.next().is_some() {
                return Err(wrong());
            }
            found
        };
        let slice = if slice.is_empty() { default_slice } else { slice };
        if name.is_empty() || [prefix, name].iter().any(|part| part.contains('/')) {
            return Err(wrong());
        }
        if name.ends_with(SLICE) {
            return Err(Error::IsSlice(name.to_owned()));
        }
        let name = Self { unit: format!("{prefix}-{name}.scope"), slice: slice.to_owned() };
        // systemd would name another error, and later.
        name.folder().map(|_| name)
    }

    /// Its folder below the manager's own: `a-b.slice` is in `a.slice`, and `-.slice` is the
    /// manager's own folder.
    pub(super) fn folder(&self) -> Result<String, Error> {
        let wrong = || Error::Slice(self.slice.clone());
        let mut folder = String::new();
        if !matches!(self.slice.as_str(), "-" | "-.slice") {
            let stem = self.slice.strip_suffix(SLICE).ok_or_else(wrong)?;
            let mut above = String::new();
            for part in stem.split('-') {
                if part.is_empty() || part.contains('/') || part == "." || part == ".." {
                    return Err(wrong());
                }
                above.push_str(part);
                folder.push_str(&above);
                folder.push_str(".slice/");
                above.push('-');
            }
        }
        folder.push_str(&self.unit);
        Ok(folder)
    }

    /// The slice as systemd writes it.
    pub(super) fn full_slice(&self) -> &str {
        if self.slice == "-" { "-.slice" } else { &self.slice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &str) -> Result<String, Error> {
        Name::parse(path, "id", "system.slice").and_then(|name| name.folder())
    }

    #[test]
    fn scopes_lie_in_nested_slices() {
        assert_eq!(folder("").unwrap(), "system.slice/runc-id.scope");
        assert_eq!(folder(":docker:x").unwrap(), "system.slice/docker-x.scope");
        assert_eq!(folder("a-b-c.slice:p:x").unwrap(), "a.slice/a-b.slice/a-b-c.slice/p-x.scope");
        for root in ["-:p:x", "-.slice:p:x"] {
            assert_eq!(folder(root).unwrap(), "p-x.scope");
        }
        let root = Name::parse("-:p:x", "id", "system.slice").unwrap();
        assert_eq!(root.full_slice(), "-.slice");
    }

    #[test]
    fn other_paths_are_refused() {
        for bad in ["/a/b", "a", "a.slice:b", "a.slice:b:c:d", "a.slice:b:", "a.slice:b/c:d"] {
            assert!(matches!(folder(bad), Err(Error::Path(_))), "{bad}");
        }
        for bad in ["a:p:x", "a/b.slice:p:x", "-a.slice:p:x", "a--b.slice:p:x", ".slice:p:x"] {
            assert!(matches!(folder(bad), Err(Error::Slice(_))), "{bad}");
        }
        assert!(matches!(folder("a.slice:p:b.slice"), Err(Error::IsSlice(_))));
    }
}
