//! What an entry's name means: a place inside the layer, or a whiteout.

use super::error::ExtractError;

/// A path relative to the layer's root: no empty, `.` or `..` component; empty for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LayerPath(Vec<u8>);

impl LayerPath {
    /// Cleans `name` as Go's `filepath.Clean` does; one that climbs above the root is refused.
    pub(super) fn parse(name: &[u8]) -> Result<Self, ExtractError> {
        if name.contains(&0) {
            return Err(ExtractError::unsafe_name(name, "its name holds a NUL"));
        }
        let mut path = Vec::with_capacity(name.len());
        for component in name.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." if path.is_empty() => {
                    return Err(ExtractError::unsafe_name(name, "it leads out of the layer"));
                }
                b".." => {
                    let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    path.truncate(parent);
                }
                _ => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(component);
                }
            }
        }
        Ok(Self(path))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Parent and last component; `None` for the root.
    pub(super) fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (&[], &self.0),
        })
    }
}

/// The special meanings of a last component (OCI image-spec, layer.md, "Whiteouts").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// The entry itself.
    Plain,
    /// Nothing of the lower layers shows in this directory.
    Opaque,
    /// The lower layers' entry of this name is gone.
    Whiteout(&'a [u8]),
    /// Book-keeping of aufs; nothing to make.
    AufsMetadata,
}

/// Tells what a last component means.
pub(super) fn meaning(component: &[u8]) -> Result<Meaning<'_>, ExtractError> {
    const PREFIX: &[u8] = b".wh.";
    match component.strip_prefix(PREFIX) {
        None => Ok(Meaning::Plain),
        Some(b".wh..opq") => Ok(Meaning::Opaque),
        Some(hidden) if hidden.starts_with(PREFIX) => Ok(Meaning::AufsMetadata),
        Some(b"" | b"." | b"..") => {
            Err(ExtractError::unsafe_name(component, "a whiteout of nothing"))
        }
        Some(hidden) => Ok(Meaning::Whiteout(hidden)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_lexically() {
        for (name, path) in [
            ("./", ""),
            ("/", ""),
            ("", ""),
            ("./etc/", "etc"),
            ("/etc/passwd", "etc/passwd"),
            ("a//b/./c", "a/b/c"),
            ("a/../b", "b"),
            ("a/b/../../c", "c"),
            ("..a/b..", "..a/b.."),
        ] {
            assert_eq!(LayerPath::parse(name.as_bytes()).unwrap().as_bytes(), path.as_bytes());
        }
    }

    #[test]
    fn names_that_climb_out_are_refused() {
        for name in ["..", "../x", "a/../../x", "/../etc", "./..", "a\0b"] {
            assert!(LayerPath::parse(name.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        assert_eq!(meaning(b"x").unwrap(), Meaning::Plain);
        assert_eq!(meaning(b".wh").unwrap(), Meaning::Plain);
        assert_eq!(meaning(b".wh.x").unwrap(), Meaning::Whiteout(b"x"));
        assert_eq!(meaning(b".wh..wh..opq").unwrap(), Meaning::Opaque);
        assert_eq!(meaning(b".wh..wh.plnk").unwrap(), Meaning::AufsMetadata);
        for bad in [".wh.", ".wh..", ".wh..."] {
            assert!(meaning(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
