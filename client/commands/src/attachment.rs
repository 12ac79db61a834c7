//! A container's or process's stdio on this one's.
//!
//! Output is copied by the calling thread, input by a thread of its own, which is left behind when
//! output ends: a read of a terminal cannot be called off, and the program is about to exit.

use crate::detach_keys::Detector;
use crate::failure::Failure;
use crate::output::Out;
use crate::terminal::RawMode;
use client_http::{FrameError, Frames, Hijacked, Stream};
use contracts_engine_api::stream::Stream as Source;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The buffers' first size: most processes say little, and each page that is touched costs.
const SMALL: usize = 4 * 1024;
/// Their size once a read has filled them.
const LARGE: usize = 64 * 1024;

/// How an attachment is made.
#[derive(Clone, Debug)]
pub(crate) struct Wiring {
    /// Whether input is passed on.
    pub stdin: bool,
    /// Whether there is a terminal on the other side: one stream, no frames.
    pub tty: bool,
    /// The keys that end the attachment.
    pub detach_keys: Vec<u8>,
}

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The other side closed.
    Finished,
    /// The user typed the detach keys.
    Detached,
}

/// An attachment whose input is being passed on already.
#[derive(Debug)]
#[must_use = "output is copied by finishing it"]
pub(crate) struct Attachment<R> {
    reading: R,
    framed: bool,
    detached: Arc<AtomicBool>,
    raw: Option<RawMode>,
}

/// Begins an attachment: raw mode, and the copying of input.
///
/// # Errors
///
/// When the process has no descriptor left.
pub(crate) fn begin(hijacked: Hijacked, wiring: &Wiring) -> io::Result<Attachment<impl Read>> {
    // Raw mode is wanted where keys are passed on to a terminal; a pipe has no modes.
    let raw = if wiring.stdin && wiring.tty { RawMode::enter().ok() } else { None };
    let (reading, writing) = hijacked.split()?;
    let detached = Arc::new(AtomicBool::new(false));
    if wiring.stdin {
        let detector = wiring.tty.then(|| Detector::new(wiring.detach_keys.clone()));
        let flag = Arc::clone(&detached);
        std::thread::spawn(move || copy_input(&writing, detector, &flag));
    }
    Ok(Attachment { reading, framed: !wiring.tty, detached, raw })
}

impl<R: Read> Attachment<R> {
    /// Copies output until it ends or the user detaches.
    ///
    /// # Errors
    ///
    /// When the connection or an output breaks.
    pub(crate) fn finish(self) -> Result<End, Failure> {
        let outcome = if self.framed { copy_frames(self.reading) } else { copy_raw(self.reading) };
        drop(self.raw);
        if self.detached.load(Ordering::Acquire) {
            return Ok(End::Detached);
        }
        outcome.map(|()| End::Finished)
    }
}

fn copy_input(to: &Stream, mut detector: Option<Detector>, detached: &AtomicBool) {
    let Ok(mut writing) = to.try_clone() else { return };
    let mut buffer = vec![0; SMALL];
    loop {
        let count = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => break,
        };
        let outcome = match &mut detector {
            None => writing.write_all(&buffer[..count]),
            Some(detector) => {
                let (pass, found) = detector.feed(&buffer[..count]);
                let outcome = writing.write_all(&pass);
                if found {
                    detached.store(true, Ordering::Release);
                    // Both directions: the copying of output sees the end.
                    let _ = to.close();
                    return;
                }
                outcome
            }
        };
        if outcome.is_err() {
            return;
        }
        if count == buffer.len() {
            buffer.resize(LARGE, 0);
        }
    }
    let _ = to.close_write();
}

/// Copies a stream that has no frames to standard output.
///
/// # Errors
///
/// When the stream or the output breaks.
pub(crate) fn copy_raw(mut from: impl Read) -> Result<(), Failure> {
    let mut buffer = vec![0; SMALL];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                Out::Stdout.write_all(&buffer[..count])?;
                if count == buffer.len() {
                    buffer.resize(LARGE, 0);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Copies frames to standard output and error. A log is a frame a line: those that came together go
/// out together, in their order, and nothing is held back while more is waited for.
///
/// # Errors
///
/// When the stream or an output breaks.
pub(crate) fn copy_frames(from: impl Read) -> Result<(), Failure> {
    let mut frames = Frames::new(from);
    let mut held = Held { out: Out::Stdout, bytes: Vec::new() };
    loop {
        let outcome = frames.next_bytes().map(|next| {
            next.map(|(source, bytes)| {
                let out = if source == Source::Stderr { Out::Stderr } else { Out::Stdout };
                held.take(out, bytes)
            })
        });
        match outcome {
            Ok(Some(written)) => written?,
            Ok(None) => return Ok(held.flush()?),
            Err(error) => {
                held.flush()?;
                return Err(match error {
                    FrameError::Read(error) | FrameError::Write(error) => error.into(),
                    error => Failure::text(error.to_string()),
                });
            }
        }
        if frames.waits() {
            held.flush()?;
        }
    }
}

/// Bytes that are to be written.
struct Held {
    out: Out,
    bytes: Vec<u8>,
}

impl Held {
    fn take(&mut self, out: Out, bytes: &[u8]) -> io::Result<()> {
        if out != self.out || self.bytes.len() + bytes.len() > LARGE {
            self.flush()?;
            self.out = out;
        }
        if self.bytes.is_empty() && bytes.len() >= SMALL {
            return self.out.write_all(bytes);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.out.write_all(&self.bytes);
        self.bytes.clear();
        outcome
    }
}
