//! `list` and `ps`.

use super::document;
use crate::Global;
use crate::arguments::Parsed;
use crate::failure::Failure;
use crate::privileges;
use contracts_runtime_api::ListEntry;
use runtime_container::io_reason;
use std::fmt::Write as _;

/// `list`.
pub(crate) fn list(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let entries = entries(global)?;
    if parsed.flags.has("quiet") {
        for entry in &entries {
            println!("{}", entry.id);
        }
        return Ok(0);
    }
    match parsed.flags.value("format").unwrap_or("table") {
        "table" => print!("{}", table(&entries)),
        // runc prints Go's nil slice.
        "json" if entries.is_empty() => println!("null"),
        "json" => println!("{}", document::line(&entries)?),
        _ => return Err(Failure::Other("invalid format option".to_owned())),
    }
    Ok(0)
}

fn entries(global: &Global) -> Result<Vec<ListEntry>, Failure> {
    let folders = match std::fs::read_dir(&global.root) {
        // Nobody has made a container yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(|error| {
            Failure::Other(format!("open {}: {}", global.root.display(), io_reason(&error)))
        })?,
    };
    let mut entries = Vec::new();
    for folder in folders.flatten() {
        let Ok(id) = folder.file_name().into_string() else { continue };
        // One that is being made or removed has no state.
        let Ok(state) = runtime_container::state(&global.root, &id) else { continue };
        entries.push(ListEntry {
            oci_version: state.oci_version,
            id: state.id,
            pid: state.pid,
            status: state.status,
            bundle: state.bundle,
            rootfs: state.rootfs,
            created: state.created,
            annotations: state.annotations,
            owner: privileges::user_name(&state.owner),
        });
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

fn table(entries: &[ListEntry]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(entries.iter().map(|entry| {
        [
            entry.id.clone(),
            entry.pid.to_string(),
            entry.status.to_string(),
            entry.bundle.clone(),
            entry.created.clone(),
            entry.owner.clone(),
        ]
    }));
    // Go's tabwriter as runc has it: columns at least twelve wide, three blanks between.
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths).take(5) {
            let _ = write!(text, "{cell:<width$}");
        }
        text.push_str(&row[5]);
        text.push('\n');
    }
    text
}

/// `ps`.
pub(crate) fn ps(global: &Global, parsed: &Parsed) -> Result<u8, Failure> {
    let pids = runtime_container::processes(&global.root, parsed.id()?)?;
    match parsed.flags.value("format").unwrap_or("table") {
        "json" => println!("{}", document::line(&pids)?),
        "table" => print_table(&pids, &parsed.rest[1..])?,
        _ => return Err(Failure::Other("invalid format option".to_owned())),
    }
    Ok(0)
}

/// The lines of ps(1) that are about these processes.
fn print_table(pids: &[i32], options: &[String]) -> Result<(), Failure> {
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default } else { options };
    let output = std::process::Command::new("ps")
        .args(options)
        .output()
        .map_err(|error| Failure::Other(format!("ps: {}", io_reason(&error))))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Other(format!("ps: {}: {}", output.status, text.trim_end())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header
        .split_whitespace()
        .position(|title| title == "PID")
        .ok_or_else(|| Failure::Other("couldn't find PID field in ps output".to_owned()))?;
    println!("{header}");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            println!("{line}");
        }
    }
    Ok(())
}
