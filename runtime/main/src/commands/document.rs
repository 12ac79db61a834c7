//! Reading and writing JSON documents.

use crate::failure::Failure;
use base_oci::runtime::{Process, Spec};
use runtime_container::io_reason;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;

/// No document is longer.
const MAX_LENGTH: u64 = 16 << 20;

/// Reads a bundle's `config.json`.
pub(crate) fn config(bundle: &Path) -> Result<Spec, Failure> {
    read(&bundle.join("config.json"))
}

/// Reads the process of a bundle's `config.json`, and nothing else of it.
pub(crate) fn process(bundle: &Path) -> Result<Process, Failure> {
    #[derive(Deserialize)]
    struct OnlyProcess {
        process: Option<Process>,
    }
    let config: OnlyProcess = read(&bundle.join("config.json"))?;
    Ok(config.process.unwrap_or_default())
}

/// Reads a document; `-` is stdin.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Other(format!("read {}: {error}", path.display()));
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
    let text = std::str::from_utf8(&text).map_err(|error| failed(&error))?;
    serde_json::from_str(text).map_err(|error| failed(&error))
}

/// A document for people.
pub(crate) fn pretty(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(document).map_err(|error| Failure::Other(error.to_string()))
}

/// A document on one line.
pub(crate) fn line(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(document).map_err(|error| Failure::Other(error.to_string()))
}
