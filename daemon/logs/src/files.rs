//! The chain of files that one log consists of, and a cursor that walks along it.

use crate::entry::Entry;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More rotated files than this are not looked for (dockerd takes any `max-file`).
const MAX_FILES: u32 = 1_000;
/// A line of the file that is longer is skipped: the shim writes at most 16 KiB a piece, which
/// JSON escapes at most six-fold.
const MAX_LINE: usize = 1 << 20;
/// How much is read at once.
const BLOCK: usize = 64 * 1024;
/// A batch ends after this many bytes of input.
const BATCH: usize = 256 * 1024;

/// The path of the `index`-th file of a log, 0 the newest.
pub(crate) fn rotated(base: &Path, index: u32) -> PathBuf {
    if index == 0 {
        return base.to_owned();
    }
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{index}"));
    name.into()
}

/// How many files the log has now.
pub(crate) fn count(base: &Path) -> u32 {
    (0..MAX_FILES).find(|index| !rotated(base, *index).exists()).unwrap_or(MAX_FILES)
}

/// A position in the chain, moving towards the newest end.
pub(crate) struct Cursor {
    base: PathBuf,
    file: File,
    /// The open file's identity: rotation renames it, so that a path does not tell.
    inode: u64,
    /// Bytes read that are no whole line yet.
    partial: Vec<u8>,
    /// The line in `partial` is too long and will not be kept.
    overlong: bool,
}

impl Cursor {
    /// Starts in the `index`-th file at `offset`.
    pub(crate) fn open(base: &Path, index: u32, offset: u64) -> io::Result<Self> {
        let mut file = File::open(rotated(base, index))?;
        file.seek(SeekFrom::Start(offset))?;
        let inode = file.metadata()?.ino();
        Ok(Self { base: base.to_owned(), file, inode, partial: Vec::new(), overlong: false })
    }

    /// Reads the next batch; an empty one means that there is nothing more now.
    pub(crate) fn batch(&mut self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut block = vec![0; BLOCK];
        let mut total = 0;
        while total < BATCH {
            let read = self.file.read(&mut block)?;
            if read > 0 {
                total += read;
                self.take(&block[..read], &mut entries);
            } else if !self.begin_again()? && !self.advance(&mut entries)? {
                break;
            }
        }
        Ok(entries)
    }

    /// Splits input into lines.
    fn take(&mut self, mut input: &[u8], entries: &mut Vec<Entry>) {
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&input[..end], &input[end + 1..]);
            if self.overlong {
                self.overlong = false;
            } else if self.partial.is_empty() {
                entries.extend(Entry::parse(line));
            } else {
                self.partial.extend_from_slice(line);
                entries.extend(Entry::parse(&self.partial));
            }
            self.partial.clear();
            input = rest;
        }
        if self.partial.len() + input.len() > MAX_LINE {
            self.overlong = true;
            self.partial = Vec::new();
        } else if !self.overlong {
            self.partial.extend_from_slice(input);
        }
    }

    /// Goes back to the start of a file that was emptied in place: so a log with a single file
    /// is rotated.
    fn begin_again(&mut self) -> io::Result<bool> {
        if self.file.metadata()?.len() >= self.file.stream_position()? {
            return Ok(false);
        }
        self.file.rewind()?;
        self.partial.clear();
        self.overlong = false;
        Ok(true)
    }

    /// Goes to the next newer file when the open one has been rotated away.
    fn advance(&mut self, entries: &mut Vec<Entry>) -> io::Result<bool> {
        let base = self.base.clone();
        let inode = |index| Some(std::fs::metadata(rotated(&base, index)).ok()?.ino());
        if inode(0).is_none_or(|newest| newest == self.inode) {
            return Ok(false);
        }
        // Rotation renames after the last write, so that whatever the old file still has is
        // there now, and nothing will follow it.
        let mut rest = Vec::new();
        self.file.read_to_end(&mut rest)?;
        self.take(&rest, entries);
        let position = (1..count(&self.base)).find(|index| inode(*index) == Some(self.inode));
        let next = position.unwrap_or_else(|| count(&self.base)).saturating_sub(1);
        let next = Self::open(&self.base, next, 0)?;
        *self = next;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}}\n"
        )
    }

    fn texts(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|e| String::from_utf8_lossy(&e.line).trim().to_owned()).collect()
    }

    #[test]
    fn a_cursor_follows_two_rotations_without_losing_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        std::fs::write(&base, line("a")).unwrap();
        let mut cursor = Cursor::open(&base, 0, 0).unwrap();
        assert_eq!(texts(&cursor.batch().unwrap()), ["a"]);
        std::fs::write(&base, line("a") + &line("b")).unwrap();
        std::fs::rename(&base, rotated(&base, 2)).unwrap();
        std::fs::write(rotated(&base, 1), line("c")).unwrap();
        std::fs::write(&base, line("d")).unwrap();
        assert_eq!(texts(&cursor.batch().unwrap()), ["b", "c", "d"]);
        assert!(cursor.batch().unwrap().is_empty());
    }

    #[test]
    fn a_cursor_goes_on_in_a_file_that_was_emptied_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        std::fs::write(&base, line("a") + &line("b")).unwrap();
        let mut cursor = Cursor::open(&base, 0, 0).unwrap();
        assert_eq!(texts(&cursor.batch().unwrap()), ["a", "b"]);
        std::fs::write(&base, line("c")).unwrap();
        assert_eq!(texts(&cursor.batch().unwrap()), ["c"]);
        assert!(cursor.batch().unwrap().is_empty());
    }

    #[test]
    fn an_unfinished_line_waits_for_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        let whole = line("later");
        std::fs::write(&base, &whole[..20]).unwrap();
        let mut cursor = Cursor::open(&base, 0, 0).unwrap();
        assert!(cursor.batch().unwrap().is_empty());
        std::fs::write(&base, &whole).unwrap();
        assert_eq!(texts(&cursor.batch().unwrap()), ["later"]);
    }

    #[test]
    fn an_endless_line_is_skipped_and_the_next_one_read() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        std::fs::write(&base, "x".repeat(2 * MAX_LINE) + "\n" + &line("ok")).unwrap();
        let mut cursor = Cursor::open(&base, 0, 0).unwrap();
        let mut seen = Vec::new();
        for _ in 0..40 {
            seen.extend(cursor.batch().unwrap());
        }
        assert_eq!(texts(&seen), ["ok"]);
    }
}
