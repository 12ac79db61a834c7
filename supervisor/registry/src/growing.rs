//! A file that is read while it is still written: a layer is unpacked as it arrives.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How far the writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Growing,
    Done,
    /// What was read is worth nothing.
    Failed,
}

struct Shared {
    state: Mutex<(u64, Phase)>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, (u64, Phase)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's end. Dropped before the end was told, it fails the readers.
pub(crate) struct Growth(Arc<Shared>);

impl Growth {
    pub(crate) fn new() -> Self {
        let state = Mutex::new((0, Phase::Growing));
        Self(Arc::new(Shared { state, changed: Condvar::new() }))
    }

    /// A reader of the file from its beginning; `read` is told how far it is.
    pub(crate) fn reader(&self, file: File, read: impl Fn(u64) + Send + 'static) -> GrowingFile {
        GrowingFile { file, at: 0, shared: Arc::clone(&self.0), told: Box::new(read) }
    }

    /// So many bytes are there now.
    pub(crate) fn reached(&self, length: u64) {
        let mut state = self.0.state();
        if state.1 == Phase::Growing {
            state.0 = length;
        }
        self.0.changed.notify_all();
    }

    /// All bytes are there, and are the right ones.
    pub(crate) fn done(&self) {
        self.end(Phase::Done);
    }

    /// The bytes were wrong, or no more will come.
    pub(crate) fn failed(&self) {
        self.end(Phase::Failed);
    }

    /// Whether readers were told that what they read is worth nothing.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.state().1 == Phase::Failed
    }

    fn end(&self, phase: Phase) {
        let mut state = self.0.state();
        if state.1 == Phase::Growing {
            state.1 = phase;
        }
        self.0.changed.notify_all();
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.failed();
    }
}

/// The reader's end; its end of file is the end of the finished file. Blocks.
pub(crate) struct GrowingFile {
    file: File,
    at: u64,
    shared: Arc<Shared>,
    told: Box<dyn Fn(u64) + Send>,
}

impl Read for GrowingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.shared.state();
        let there = loop {
            match *state {
                (_, Phase::Failed) => return Err(io::Error::other("the download failed")),
                (length, _) if length > self.at => break length - self.at,
                (_, Phase::Done) => return Ok(0),
                (_, Phase::Growing) => {
                    state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(state);
        let wanted = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let length = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        (self.told)(self.at);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_reader_waits_for_what_is_still_to_come() {
        let mut file = tempfile::tempfile().unwrap();
        let growth = Growth::new();
        let mut reader = growth.reader(file.try_clone().unwrap(), |_| {});
        let thread = std::thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).map(|_| all)
        });
        for (piece, length) in [("one ", 4), ("two", 7)] {
            file.write_all(piece.as_bytes()).unwrap();
            growth.reached(length);
        }
        growth.done();
        assert_eq!(thread.join().unwrap().unwrap(), "one two");
    }

    #[test]
    fn a_reader_fails_when_its_writer_does() {
        for drop_it in [true, false] {
            let growth = Growth::new();
            let mut reader = growth.reader(tempfile::tempfile().unwrap(), |_| {});
            let thread = std::thread::spawn(move || reader.read(&mut [0; 8]));
            if drop_it {
                drop(growth);
            } else {
                growth.failed();
            }
            assert!(thread.join().unwrap().is_err());
        }
    }
}
