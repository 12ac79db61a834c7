//! Environment variables and labels, from flags and files.

use crate::arguments::Arguments;
use crate::session::Session;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Longer files are a mistake.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Reads a text file of bounded length.
pub(super) fn read_file(path: &Path, limit: u64) -> std::io::Result<String> {
    let mut text = String::new();
    let count = std::fs::File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if count as u64 > limit {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "file too large"));
    }
    Ok(text)
}

/// `--env-file`, then `--env`. A name without a value takes it from this program's environment.
pub(crate) fn environment(session: &Session, arguments: &Arguments) -> Result<Vec<String>, String> {
    let mut variables = Vec::new();
    for path in arguments.list("env-file") {
        for line in lines(path)? {
            if line.contains('=') {
                variables.push(line);
            } else if let Some(value) = session.environment.get(&line) {
                variables.push(format!("{line}={value}"));
            }
        }
    }
    for text in arguments.list("env") {
        match session.environment.get(text) {
            Some(value) if !text.contains('=') => variables.push(format!("{text}={value}")),
            _ => variables.push(text.to_owned()),
        }
    }
    Ok(variables)
}

/// `--label-file`, then `--label`.
pub(super) fn labels(arguments: &Arguments) -> Result<BTreeMap<String, String>, String> {
    let mut labels = BTreeMap::new();
    let mut add = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        labels.insert(key.to_owned(), value.to_owned());
    };
    for path in arguments.list("label-file") {
        lines(path)?.iter().for_each(|line| add(line));
    }
    arguments.list("label").for_each(add);
    Ok(labels)
}

/// A file's lines without blank ones and comments.
fn lines(path: &str) -> Result<Vec<String>, String> {
    let text = read_file(Path::new(path), MAX_FILE).map_err(|error| {
        // Go's words for what is most often wrong.
        if error.kind() == std::io::ErrorKind::NotFound {
            format!("open {path}: no such file or directory")
        } else {
            format!("open {path}: {error}")
        }
    })?;
    let mut lines = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if name.contains(char::is_whitespace) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        lines.push(line.to_owned());
    }
    Ok(lines)
}
