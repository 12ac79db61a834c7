//! Finding where to begin, without reading what comes before: at the last N lines, or at an
//! instant.

use crate::entry::Entry;
use crate::files::rotated;
use jiff::Timestamp;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is read at once, backwards.
const BLOCK: usize = 32 * 1024;
/// Read at each step of a bisection: an entry with its line's beginning (16 KiB, escaped), as a
/// rule; where a longer one stands, a bit more of the log is read than would be needed.
const STEP: usize = 64 * 1024;

/// The file and offset at which the last `lines` lines of the log begin.
pub(crate) fn start_of_last(base: &Path, files: u32, lines: u64) -> io::Result<(u32, u64)> {
    let mut missing = lines;
    for index in 0..files {
        let file = match File::open(rotated(base, index)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        match offset_of_last(&file, missing)? {
            Found::At(offset) => return Ok((index, offset)),
            Found::Only(fewer) => missing -= fewer,
        }
    }
    Ok((files.saturating_sub(1), 0))
}

/// A file and an offset before which everything is older than `since`. Times are taken to rise
/// along the log; what the reader does not want of the rest, it has to leave out itself.
pub(crate) fn start_of_since(base: &Path, files: u32, since: Timestamp) -> io::Result<(u32, u64)> {
    for index in 0..files {
        let file = match File::open(rotated(base, index)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        // A file that begins before the instant holds it, or is the last one before it.
        if next_entry(&file, 0)?.is_some_and(|(_, time)| time < since) {
            return Ok((index, offset_of_since(&file, since)?));
        }
    }
    Ok((files.saturating_sub(1), 0))
}

fn offset_of_since(file: &File, since: Timestamp) -> io::Result<u64> {
    // The line at `low` is older than `since`; at and behind `high`, no older one was found.
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > STEP as u64 {
        let middle = low + (high - low) / 2;
        match next_entry(file, middle)? {
            Some((start, time)) if time < since && start < high => low = start,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first whole line that begins behind `offset` (at it, where that is 0) and can be read:
/// where it begins, and its time.
fn next_entry(file: &File, offset: u64) -> io::Result<Option<(u64, Timestamp)>> {
    let mut block = vec![0; STEP];
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    let mut start = 0;
    for (at, byte) in block[..filled].iter().enumerate() {
        if *byte == b'\n' {
            // Elsewhere than at the beginning, the first line is likely the rest of one.
            let whole = start > 0 || offset == 0;
            if whole && let Some(entry) = Entry::parse(&block[start..at]) {
                return Ok(Some((offset + start as u64, entry.time)));
            }
            start = at + 1;
        }
    }
    Ok(None)
}

/// What one file had of the wanted lines.
enum Found {
    /// All of them, from this offset on.
    At(u64),
    /// Only this many.
    Only(u64),
}

fn offset_of_last(file: &File, lines: u64) -> io::Result<Found> {
    let size = file.metadata()?.len();
    if lines == 0 {
        return Ok(Found::At(size));
    }
    let mut block = vec![0; BLOCK];
    let mut end = size;
    let mut newlines = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let part = &mut block[..usize::try_from(end - start).expect("at most one block")];
        file.read_exact_at(part, start)?;
        for (index, byte) in part.iter().enumerate().rev() {
            if *byte == b'\n' {
                // The newline before the wanted lines ends the line before them.
                if newlines == lines {
                    return Ok(Found::At(start + index as u64 + 1));
                }
                newlines += 1;
            }
        }
        end = start;
    }
    Ok(if newlines == lines { Found::At(0) } else { Found::Only(newlines) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found_across_blocks_and_files() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        let long = "y".repeat(BLOCK);
        std::fs::write(&base, format!("c\n{long}\n")).unwrap();
        std::fs::write(rotated(&base, 1), "a\nb\n").unwrap();
        assert_eq!(start_of_last(&base, 2, 0).unwrap(), (0, BLOCK as u64 + 3));
        assert_eq!(start_of_last(&base, 2, 1).unwrap(), (0, 2));
        assert_eq!(start_of_last(&base, 2, 2).unwrap(), (0, 0));
        assert_eq!(start_of_last(&base, 2, 3).unwrap(), (1, 2));
        assert_eq!(start_of_last(&base, 2, 9).unwrap(), (1, 0));
    }

    #[test]
    fn an_instant_is_found_without_what_comes_before() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        let long = "y".repeat(900);
        let line = |second: i64| {
            let time = Timestamp::from_second(second).unwrap();
            format!("{{\"log\":\"{long}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n")
        };
        let lines = |range: std::ops::Range<i64>| range.map(line).collect::<String>();
        std::fs::write(rotated(&base, 1), lines(0..1000)).unwrap();
        std::fs::write(&base, lines(1000..3000)).unwrap();
        let length = line(1000).len() as u64;
        for second in [0, 1, 500, 999, 1000, 1001, 1500, 2999, 4000] {
            let since = Timestamp::from_second(second).unwrap();
            let (index, offset) = start_of_since(&base, 2, since).unwrap();
            let exact = if second > 1000 {
                (0, (second.min(3000) - 1000) as u64 * length)
            } else {
                (1, lines(0..second).len() as u64)
            };
            assert_eq!(index, exact.0, "{second}");
            assert!(offset <= exact.1 && exact.1 - offset <= 2 * STEP as u64, "{second}");
        }
    }

    #[test]
    fn an_empty_log_begins_at_its_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        std::fs::write(&base, "").unwrap();
        assert_eq!(start_of_last(&base, 1, 5).unwrap(), (0, 0));
        assert_eq!(start_of_since(&base, 1, Timestamp::now()).unwrap(), (0, 0));
    }
}
