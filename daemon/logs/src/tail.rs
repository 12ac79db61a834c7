//! Finding where the last N lines begin, from the end, without reading the rest.

use crate::files::rotated;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is read at once, backwards.
const BLOCK: usize = 32 * 1024;

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
    fn an_empty_log_begins_at_its_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        std::fs::write(&base, "").unwrap();
        assert_eq!(start_of_last(&base, 1, 5).unwrap(), (0, 0));
    }
}
