//! The container's log file in Docker's json-file format, with rotation.
//!
//! An entry is written before its bytes go anywhere else. A full disk stops the reader (and so,
//! once its pipe is full, the container) until the rest can be written; nothing is dropped, and no
//! entry is written twice.

use super::lines::{Lines, Tail};
use base_telemetry::logger;
use contracts_shim_api::stdio::GantryStdio;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes gathered for one write.
const BATCH: usize = 256 << 10;
/// Capacity that an idle log may keep.
const IDLE: usize = 4 << 10;
/// dockerd's mode of log files.
const MODE: u32 = 0o640;

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    /// Bytes in the current file.
    size: u64,
    max_size: u64,
    max_file: u32,
    tails: [Tail; 2],
    lines: [Lines; 2],
    /// Whole entries that are not in the file yet, from `written` on.
    pending: Vec<u8>,
    written: usize,
}

impl Log {
    /// Opens the log that a URI names; `None` when it names none.
    pub(crate) fn open(stdio: &GantryStdio) -> io::Result<Option<Self>> {
        let Some(path) = stdio.log.clone() else { return Ok(None) };
        let attrs = attributes(&stdio.labels);
        let file = append_to(&path)?;
        let size = file.metadata()?.len();
        Ok(Some(Self {
            path,
            file,
            size,
            max_size: stdio.max_size.unwrap_or(u64::MAX),
            max_file: stdio.max_file.unwrap_or(1),
            tails: [Tail::new("stdout", &attrs), Tail::new("stderr", &attrs)],
            lines: Default::default(),
            pending: Vec::new(),
            written: 0,
        }))
    }

    /// Takes output of stream 0 (stdout) or 1 (stderr).
    ///
    /// # Errors
    /// The log could not be written; what was taken is kept, see [`Log::flush`].
    pub(crate) fn append(&mut self, stream: usize, bytes: &[u8]) -> io::Result<()> {
        let time = now();
        let mut lines = std::mem::take(&mut self.lines[stream]);
        let mut pending = std::mem::take(&mut self.pending);
        let mut result = Ok(());
        // The tail is moved out for the call, because writing needs the rest of the log.
        let tail = std::mem::replace(&mut self.tails[stream], Tail::new("", ""));
        lines.append(bytes, &time, &tail, &mut pending, |pending| {
            let due = pending.len() >= BATCH || self.is_full(pending.len());
            if due && result.is_ok() {
                result = self.write(pending);
            }
        });
        self.tails[stream] = tail;
        self.lines[stream] = lines;
        if result.is_ok() {
            result = self.write(&mut pending);
        }
        self.pending = pending;
        result
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// As for [`Log::append`].
    pub(crate) fn finish(&mut self, stream: usize) -> io::Result<()> {
        self.lines[stream].finish(&now(), &self.tails[stream], &mut self.pending);
        self.flush()
    }

    /// Writes what is not yet written.
    ///
    /// # Errors
    /// The log still cannot be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        let result = self.write(&mut pending);
        self.pending = pending;
        result
    }

    /// Whether everything taken so far is in the file, but for an unfinished line.
    pub(crate) fn is_flushed(&self) -> bool {
        self.written == self.pending.len()
    }

    /// Whether somebody has deleted the file.
    pub(crate) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|file| file.nlink() == 0)
    }

    /// Nothing more comes for now: gives memory back.
    pub(crate) fn rest(&mut self) {
        if self.pending.is_empty() && self.pending.capacity() > IDLE {
            self.pending = Vec::new();
        }
    }

    /// dockerd looks before each entry whether the file has reached its size, so that a file may
    /// be longer than that by one entry.
    fn is_full(&self, pending: usize) -> bool {
        let unwritten = (pending - self.written) as u64;
        self.size.saturating_add(unwritten) >= self.max_size
    }

    fn write(&mut self, pending: &mut Vec<u8>) -> io::Result<()> {
        while self.written < pending.len() {
            match self.file.write(&pending[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    self.size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        pending.clear();
        self.written = 0;
        if self.is_full(0) { self.rotate() } else { Ok(()) }
    }

    /// `log` becomes `log.1`, that becomes `log.2`, and so on; the last one goes.
    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.max_file < 2 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        for number in (1..self.max_file - 1).rev() {
            ignore_missing(std::fs::rename(numbered(number), numbered(number + 1)))?;
        }
        ignore_missing(std::fs::rename(&self.path, numbered(1)))?;
        self.file = append_to(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    result
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

/// Now, as Go's RFC3339Nano: no zeros at the fraction's end.
fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut text = logger::timestamp(now.as_secs(), now.subsec_nanos());
    text.truncate(text.len() - 1);
    let length = text.trim_end_matches('0').trim_end_matches('.').len();
    text.truncate(length);
    text.push('Z');
    text
}

/// The labels as a JSON object; empty without labels.
fn attributes(labels: &[(String, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let object: std::collections::BTreeMap<_, _> = labels.iter().cloned().collect();
    serde_json::to_string(&object).expect("strings always serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_at(directory: &Path, max_size: Option<u64>, max_file: Option<u32>) -> Log {
        let log = Some(directory.join("x-json.log"));
        let stdio = GantryStdio { log, max_size, max_file, ..Default::default() };
        Log::open(&stdio).unwrap().unwrap()
    }

    #[test]
    fn streams_are_cut_apart_and_a_log_goes_on_where_it_ended() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log_at(directory.path(), None, None);
        log.append(0, b"out").unwrap();
        log.append(1, b"err\n").unwrap();
        log.append(0, b"put\n").unwrap();
        drop(log);
        log_at(directory.path(), None, None).append(0, b"again\n").unwrap();
        let text = std::fs::read_to_string(directory.path().join("x-json.log")).unwrap();
        let texts: Vec<(String, String)> = text
            .lines()
            .map(|line| {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                (entry["stream"].as_str().unwrap().into(), entry["log"].as_str().unwrap().into())
            })
            .collect();
        let expected = [("stderr", "err\n"), ("stdout", "output\n"), ("stdout", "again\n")];
        assert_eq!(texts, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn rotation_keeps_the_wanted_number_of_files_and_every_kept_entry_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log_at(directory.path(), Some(300), Some(3));
        for number in 0..50 {
            log.append(0, format!("line {number}\n").as_bytes()).unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["x-json.log", "x-json.log.1", "x-json.log.2"]);
        let mut expected = None;
        for name in names.iter().rev() {
            let text = std::fs::read_to_string(directory.path().join(name)).unwrap();
            for line in text.lines() {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = entry["log"].as_str().unwrap();
                let number: u32 = text[5..].trim().parse().unwrap();
                assert!(expected.is_none_or(|wanted| wanted == number));
                expected = Some(number + 1);
            }
        }
        assert_eq!(expected, Some(50));
    }

    #[test]
    fn a_single_file_starts_anew_when_it_is_full() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log_at(directory.path(), Some(200), None);
        log.append(0, &b"abcdefghi\n".repeat(100)).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(std::fs::metadata(directory.path().join("x-json.log")).unwrap().len() < 300);
    }

    #[test]
    fn a_full_disk_keeps_everything_for_later() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log_at(directory.path(), None, None);
        let good = std::mem::replace(
            &mut log.file,
            OpenOptions::new().write(true).open("/dev/full").unwrap(),
        );
        let error = log.append(0, b"one\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(log.append(1, b"two\n").is_err());
        assert!(!log.is_flushed());
        log.file = good;
        log.flush().unwrap();
        assert!(log.is_flushed());
        let text = std::fs::read_to_string(directory.path().join("x-json.log")).unwrap();
        assert_eq!(text.lines().count(), 2);
    }
}
