//! House rules that no compiler knows, as an ordinary check.

use crate::workspace::{files, root};
use anyhow::{Result, bail};

/// A file longer than this should be more than one.
const FILE_LINES: usize = 900;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["utils", "common", "helpers", "manager", "misc"];

/// Checks every Rust file; all findings are listed at once.
pub(crate) fn check() -> Result<()> {
    let mut findings = Vec::new();
    let mut count = 0;
    for file in files()? {
        if let Some(found) = empty_name(&file) {
            findings.push(found);
        }
        if !file.ends_with(".rs") {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(root().join(&file))?;
        findings.extend(content(&file, &text));
    }
    if findings.is_empty() {
        println!("tidy: {count} Rust files keep the house rules");
        return Ok(());
    }
    bail!("untidy:\n  {}", findings.join("\n  "));
}

fn empty_name(file: &str) -> Option<String> {
    let stem = file.rsplit('/').next()?.split('.').next()?;
    if EMPTY_NAMES.contains(&stem) {
        return Some(format!("{file}: the name {stem:?} says nothing"));
    }
    file.ends_with("/mod.rs").then(|| format!("{file}: a module is foo.rs with foo/, not mod.rs"))
}

fn content(file: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut say = |line: usize, what: &str| findings.push(format!("{file}:{line}: {what}"));
    let lines = text.lines().count();
    if lines > FILE_LINES {
        say(lines, "over 900 lines: is this still one idea?");
    }
    let crate_root = file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
    if crate_root {
        if !text.starts_with("//!") && !text.starts_with("#!") {
            say(1, "a crate starts by saying what it is for (//!)");
        }
        let may_be_unsafe = file == "kernel/sys/src/lib.rs";
        if !may_be_unsafe && !text.contains("#![forbid(unsafe_code)]") {
            say(1, "#![forbid(unsafe_code)] is missing");
        }
    }
    for (index, line) in text.lines().enumerate() {
        // Spelt apart, so that this file keeps its own rules.
        for mark in [
            concat!("todo", "!("),
            concat!("unimplemented", "!("),
            concat!("FIX", "ME"),
            concat!("XX", "X"),
        ] {
            if line.contains(mark) {
                say(index + 1, "unfinished");
            }
        }
        if line.contains(concat!("fn te", "st_")) {
            say(index + 1, "a test's name is a short sentence without test_");
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_root_without_forbid_is_found() {
        assert_eq!(content("a/src/lib.rs", "//! A.\n").len(), 1);
        assert!(content("a/src/lib.rs", "//! A.\n#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn empty_names_and_mod_files_are_found() {
        assert!(empty_name("a/src/utils.rs").is_some());
        assert!(empty_name("a/src/b/mod.rs").is_some());
        assert!(empty_name("a/src/b.rs").is_none());
    }
}
