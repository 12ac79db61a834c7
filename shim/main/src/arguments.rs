//! The command line, as containerd writes it.

/// What the shim is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Print the version.
    Version,
    /// Print runtime information.
    Info,
    /// Find or start a shim.
    Start,
    /// Remove what a dead shim left behind.
    Delete,
}

/// A parsed command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) action: Action,
    namespace: String,
    id: String,
    pub(crate) address: String,
    pub(crate) bundle: String,
    pub(crate) debug: bool,
}

/// A command line that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    /// Not one of ours.
    #[error("flag provided but not defined: {0}")]
    Unknown(String),
    /// A flag at the end, without its value.
    #[error("flag needs an argument: {0}")]
    NoValue(String),
    /// Neither `start` nor `delete`.
    #[error("action {0:?} is neither start nor delete")]
    Action(String),
    /// Needed for the action.
    #[error("{0} cannot be empty")]
    Missing(&'static str),
    /// An id that could leave the state directory.
    #[error("{what} {value:?} is not valid")]
    Invalid {
        /// Which flag.
        what: &'static str,
        /// Its value.
        value: String,
    },
}

impl Arguments {
    /// Parses what follows the program's name.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, ArgumentError> {
        let mut parsed = Self {
            action: Action::Start,
            namespace: String::new(),
            id: String::new(),
            address: String::new(),
            bundle: String::new(),
            debug: false,
        };
        let (mut only, mut action) = (None, None);
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                action = Some(word);
                break;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let is_on = inline.as_deref().is_none_or(|value| value == "true" || value == "1");
            let target = match name {
                "v" | "version" => {
                    only = is_on.then_some(Action::Version);
                    continue;
                }
                "info" => {
                    only = is_on.then_some(Action::Info);
                    continue;
                }
                "debug" => {
                    parsed.debug = is_on;
                    continue;
                }
                "namespace" => &mut parsed.namespace,
                "id" => &mut parsed.id,
                "address" => &mut parsed.address,
                "bundle" => &mut parsed.bundle,
                // Said by callers, and without meaning for this shim.
                "publish-binary" | "socket" | "debug-socket" => &mut String::new(),
                _ => return Err(ArgumentError::Unknown(word)),
            };
            let value = inline.or_else(|| words.next());
            *target = value.ok_or(ArgumentError::NoValue(word))?;
        }
        parsed.action = match (only, action.as_deref()) {
            (Some(only), _) => only,
            (None, Some("start")) => Action::Start,
            (None, Some("delete")) => Action::Delete,
            (None, other) => {
                return Err(ArgumentError::Action(other.unwrap_or_default().to_owned()));
            }
        };
        Ok(parsed)
    }

    /// The namespace, which every action needs.
    pub(crate) fn namespace(&self) -> Result<String, ArgumentError> {
        name("namespace", &self.namespace)
    }

    /// The container's id, which every action needs.
    pub(crate) fn id(&self) -> Result<String, ArgumentError> {
        name("id", &self.id)
    }
}

/// A name that becomes a directory's.
fn name(what: &'static str, value: &str) -> Result<String, ArgumentError> {
    if value.is_empty() {
        return Err(ArgumentError::Missing(what));
    }
    if value.contains('/') || value.starts_with('.') {
        return Err(ArgumentError::Invalid { what, value: value.to_owned() });
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, ArgumentError> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn containerds_command_lines_are_understood() {
        let start = parse(
            "-namespace default -address /run/c.sock -publish-binary /bin/c -id x -debug start",
        )
        .unwrap();
        assert_eq!((start.action, start.debug), (Action::Start, true));
        assert_eq!((start.id().unwrap(), start.address.as_str()), ("x".into(), "/run/c.sock"));
        let delete = parse("--namespace=n --id=x -bundle /b delete").unwrap();
        assert_eq!((delete.action, delete.bundle.as_str()), (Action::Delete, "/b"));
        assert_eq!(parse("-v").unwrap().action, Action::Version);
    }

    #[test]
    fn missing_unknown_and_dangerous_words_are_refused() {
        assert_eq!(parse("-id").unwrap_err(), ArgumentError::NoValue("-id".into()));
        assert_eq!(parse("-wrong x start").unwrap_err(), ArgumentError::Unknown("-wrong".into()));
        assert_eq!(parse("-id x").unwrap_err(), ArgumentError::Action(String::new()));
        assert!(parse("-id ../x start").unwrap().id().is_err());
        assert_eq!(parse("start").unwrap().id().unwrap_err(), ArgumentError::Missing("id"));
    }
}
