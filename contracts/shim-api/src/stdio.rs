//! The stdio URIs of `Create` and `Exec`; ARCHITECTURE.md says what each means.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest URI.
pub const MAX_LENGTH: usize = 16 << 10;

/// Where one stream of a process goes to or comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StdioUri {
    /// The null device (an empty text).
    #[default]
    Null,
    /// A fifo (a bare path, or `fifo://`).
    Fifo(PathBuf),
    /// A file to append to.
    File(PathBuf),
    /// A logging program: it gets stdout, stderr and a ready pipe as descriptors 3, 4 and 5.
    Binary {
        /// Its path.
        path: PathBuf,
        /// Names and values that become its arguments.
        arguments: Vec<(String, String)>,
    },
    /// Ours: the shim writes the log and serves attachments.
    Gantry(GantryStdio),
}

/// The parts of a `gantry:` URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GantryStdio {
    /// The json-file log; none for execs and the log driver `none`.
    pub log: Option<PathBuf>,
    /// `max-size`: bytes at which the log is rotated; never when absent.
    pub max_size: Option<u64>,
    /// `max-file`: files kept, the current one included; 1 when absent.
    pub max_file: Option<u32>,
    /// `label`, repeated, `NAME=VALUE` each: written into every entry's `attrs`.
    pub labels: Vec<(String, String)>,
    /// `once`, of stdin: closed for good when the first attachment that sends stdin ends.
    pub once: bool,
}

/// A text that is no stdio URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StdioError {
    /// Longer than [`MAX_LENGTH`].
    #[error("stdio URI is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// No scheme that the shim knows.
    #[error("unknown STDIO scheme {0:?}")]
    Scheme(String),
    /// Not `scheme:///absolute/path`.
    #[error("stdio URI {0:?} has no absolute path")]
    Path(String),
    /// An unknown parameter, or one whose value is out of range.
    #[error("stdio URI parameter {0:?} is not valid")]
    Parameter(String),
}

impl FromStr for StdioUri {
    type Err = StdioError;

    fn from_str(text: &str) -> Result<Self, StdioError> {
        if text.len() > MAX_LENGTH {
            return Err(StdioError::TooLong);
        }
        if text.is_empty() {
            return Ok(Self::Null);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.starts_with('/') {
                Ok(Self::Fifo(PathBuf::from(text)))
            } else {
                Err(StdioError::Path(text.to_owned()))
            };
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = PathBuf::from(OsString::from_vec(decode(path)));
        if !path.is_absolute() || path.as_os_str().as_bytes().contains(&0) {
            return Err(StdioError::Path(text.to_owned()));
        }
        match scheme {
            "fifo" => Ok(Self::Fifo(path)),
            "file" => Ok(Self::File(path)),
            "binary" => Ok(Self::Binary { path, arguments: pairs(query)? }),
            "gantry" => GantryStdio::parse(path, pairs(query)?).map(Self::Gantry),
            _ => Err(StdioError::Scheme(scheme.to_owned())),
        }
    }
}

impl GantryStdio {
    fn parse(path: PathBuf, parameters: Vec<(String, String)>) -> Result<Self, StdioError> {
        let log = (path != Path::new("/")).then_some(path);
        let mut stdio = Self { log, ..Self::default() };
        for (name, value) in parameters {
            let invalid = || StdioError::Parameter(format!("{name}={value}"));
            match name.as_str() {
                "max-size" => {
                    let size = value.parse().ok().filter(|size| *size > 0).ok_or_else(invalid)?;
                    stdio.max_size = Some(size);
                }
                "max-file" => {
                    let files = value.parse().ok().filter(|n| (1..=1_000).contains(n));
                    stdio.max_file = Some(files.ok_or_else(invalid)?);
                }
                "label" => {
                    let (key, text) = value.split_once('=').ok_or_else(invalid)?;
                    stdio.labels.push((key.to_owned(), text.to_owned()));
                }
                "once" => stdio.once = value == "1",
                _ => return Err(invalid()),
            }
        }
        Ok(stdio)
    }
}

impl fmt::Display for StdioUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Fifo(path) => write!(f, "fifo://{}", encode(path.as_os_str())),
            Self::File(path) => write!(f, "file://{}", encode(path.as_os_str())),
            Self::Binary { path, arguments } => {
                write!(f, "binary://{}", encode(path.as_os_str()))?;
                let text = |t: &String| encode(OsStr::new(t)).replace('/', "%2F");
                parameters(f, arguments.iter().map(|(n, v)| (text(n), text(v))))
            }
            Self::Gantry(stdio) => stdio.fmt(f),
        }
    }
}

impl fmt::Display for GantryStdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.log.as_deref().unwrap_or(Path::new("/"));
        write!(f, "gantry://{}", encode(log.as_os_str()))?;
        let named = |name: &str, value: String| (name.to_owned(), value);
        let sizes = self.max_size.map(|size| named("max-size", size.to_string()));
        let files = self.max_file.map(|files| named("max-file", files.to_string()));
        let labels = self.labels.iter().map(|(name, value)| {
            named("label", encode(OsStr::new(&format!("{name}={value}"))).replace('/', "%2F"))
        });
        let once = self.once.then(|| named("once", "1".to_owned()));
        parameters(f, sizes.into_iter().chain(files).chain(labels).chain(once))
    }
}

fn parameters(
    f: &mut fmt::Formatter<'_>,
    pairs: impl Iterator<Item = (String, String)>,
) -> fmt::Result {
    for (index, (name, value)) in pairs.enumerate() {
        write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
    }
    Ok(())
}

/// `a=1&b=2`, percent-decoded; `+` is a space, as in Go's `url.ParseQuery`.
fn pairs(query: &str) -> Result<Vec<(String, String)>, StdioError> {
    let text = |part: &str| {
        String::from_utf8(decode(&part.replace('+', " ")))
            .map_err(|_| StdioError::Parameter(part.to_owned()))
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((text(name)?, text(value)?))
        })
        .collect()
}

/// Percent-decodes; a broken escape stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |index: usize| {
        bytes.get(index).and_then(|byte| char::from(*byte).to_digit(16)).map(|d| d as u8)
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        match (bytes[index], digit(index + 1), digit(index + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                index += 3;
            }
            (byte, ..) => {
                out.push(byte);
                index += 1;
            }
        }
    }
    out
}

/// Percent-encodes all but unreserved characters and `/`.
fn encode(text: &OsStr) -> String {
    use fmt::Write as _;
    text.as_bytes().iter().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_parsed_and_printed() {
        for (text, uri) in [
            ("", StdioUri::Null),
            ("fifo:///run/a%20b", StdioUri::Fifo("/run/a b".into())),
            ("file:///var/log/x", StdioUri::File("/var/log/x".into())),
            (
                "binary:///bin/log?tag=a%2Fb&flag=",
                StdioUri::Binary {
                    path: "/bin/log".into(),
                    arguments: vec![("tag".into(), "a/b".into()), ("flag".into(), String::new())],
                },
            ),
            ("gantry:///", StdioUri::Gantry(GantryStdio::default())),
            (
                "gantry:///l.log?max-size=1024&max-file=3&label=a%3Db%3Dc&once=1",
                StdioUri::Gantry(GantryStdio {
                    log: Some("/l.log".into()),
                    max_size: Some(1024),
                    max_file: Some(3),
                    labels: vec![("a".into(), "b=c".into())],
                    once: true,
                }),
            ),
        ] {
            assert_eq!(text.parse(), Ok(uri.clone()), "{text}");
            assert_eq!(uri.to_string(), text);
        }
        assert_eq!("/run/fifo".parse(), Ok(StdioUri::Fifo("/run/fifo".into())));
    }

    #[test]
    fn relative_paths_unknown_schemes_and_bad_parameters_are_refused() {
        for bad in [
            "relative",
            "fifo://relative",
            "npipe:///x",
            "gantry:///x?max-size=0",
            "gantry:///x?max-file=0",
            "gantry:///x?label=none",
            "gantry:///x?surprise=1",
            "file:///a%00b",
        ] {
            assert!(bad.parse::<StdioUri>().is_err(), "{bad}");
        }
    }
}
