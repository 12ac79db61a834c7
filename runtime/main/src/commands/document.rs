//! Reading and writing JSON documents.

use crate::failure::Failure;
use base_oci::runtime::{Process, Spec};
use runtime_container::io_reason;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;

/// No document is longer.
const MAX_LENGTH: u64 = 16 << 20;

/// Reads a bundle's `config.json`.
pub(crate) fn config(bundle: &Path) -> Result<Spec, Failure> {
    read(&bundle.join("config.json"))
}

/// Reads the process of a bundle's `config.json`, and nothing that comes after it: most of a
/// document is its seccomp profile, and the document was read whole when the container was made.
pub(crate) fn process(bundle: &Path) -> Result<Process, Failure> {
    let path = bundle.join("config.json");
    let text = text(&path)?;
    let mut process = None;
    let mut document = serde_json::Deserializer::from_str(&text);
    let read = document.deserialize_map(UntilProcess(&mut process));
    match (process, read) {
        // What comes after it is missed.
        (Some(process), _) => Ok(process),
        (None, Err(error)) => Err(failed(&path, &error)),
        (None, Ok(())) => Ok(Process::default()),
    }
}

/// Takes the process out of a configuration, and stops there.
struct UntilProcess<'a>(&'a mut Option<Process>);

impl<'de> Visitor<'de> for UntilProcess<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a configuration")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Name {
            Process,
            #[serde(other)]
            Other,
        }
        while let Some(name) = map.next_key()? {
            match name {
                Name::Process => {
                    *self.0 = map.next_value()?;
                    if self.0.is_some() {
                        break;
                    }
                }
                Name::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads a document; `-` is stdin.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    serde_json::from_str(&text(path)?).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Other(format!("read {}: {error}", path.display()))
}

fn text(path: &Path) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| failed(path, error);
    let text = if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().take(MAX_LENGTH + 1).read_to_end(&mut text).map(|_| text)
    } else {
        // A file that grows meanwhile is caught by the check below.
        std::fs::metadata(path).and_then(|metadata| match metadata.len() {
            0..=MAX_LENGTH => std::fs::read(path),
            _ => Err(std::io::ErrorKind::FileTooLarge.into()),
        })
    };
    let text = text.map_err(|error| failed(&io_reason(&error)))?;
    if text.len() as u64 > MAX_LENGTH {
        return Err(failed(&"longer than 16 MiB"));
    }
    // Checked at once, which is faster than string by string.
    String::from_utf8(text).map_err(|error| failed(&error.utf8_error()))
}

/// A document for people.
pub(crate) fn pretty(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(document).map_err(|error| Failure::Other(error.to_string()))
}

/// A document on one line.
pub(crate) fn line(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(document).map_err(|error| Failure::Other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments_in(text: &str) -> Result<Vec<String>, Failure> {
        let bundle = tempfile::tempdir().unwrap();
        std::fs::write(bundle.path().join("config.json"), text).unwrap();
        process(bundle.path()).map(|process| process.args)
    }

    #[test]
    fn the_process_is_found_wherever_it_is_and_nothing_after_it_is_read() {
        for text in [
            r#"{"process":{"args":["a"]}}"#,
            r#"{"linux":{"process":{"args":["b"]}},"pro\u0063ess":{"args":["a"]},"linux":1}"#,
            r#"{"ociVersion":"1.0.0","process":{"args":["a"]},"linux":{"seccomp"#,
        ] {
            assert_eq!(arguments_in(text).unwrap(), ["a"], "{text}");
        }
        for text in ["{}", r#"{"process":null,"linux":{}}"#] {
            assert_eq!(arguments_in(text).unwrap(), [""; 0], "{text}");
        }
        for text in ["", "[]", "{", r#"{"process":{"args":1}}"#, r#"{"process":{"args":["a"}"#] {
            assert!(arguments_in(text).is_err(), "{text}");
        }
    }
}
