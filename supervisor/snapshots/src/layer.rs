//! Unpacks one compressed layer: decompression in a thread of its own, digest and files here.

use crate::decompress::decompress;
use crate::extract::{ExtractError, Limits, Summary, Whiteouts, extract};
use base_ids::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes handed from the decompressor to the extractor at once.
const CHUNK: usize = 128 << 10;

/// Chunks that may wait between the two.
const QUEUE: usize = 4;

/// A layer that was unpacked.
#[derive(Debug)]
pub struct Unpacked {
    /// The digest of the uncompressed stream.
    pub diff_id: Digest,
    /// The length of the uncompressed stream.
    pub archive_bytes: u64,
    /// What was made.
    pub summary: Summary,
}

/// Unpacks the layer that `source` gives, compressed or not, into the directory `target`.
///
/// # Errors
/// See [`extract`]; and [`ExtractError::WrongDiffId`] if the stream is not `expected`.
pub fn unpack(
    source: impl Read + Send,
    target: OwnedFd,
    whiteouts: Whiteouts,
    limits: &Limits,
    expected: Option<&Digest>,
) -> Result<Unpacked, ExtractError> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(QUEUE);
        let (give_back, spare) = sync_channel(QUEUE + 2);
        std::thread::Builder::new()
            .name("decompress".to_owned())
            .spawn_scoped(scope, move || pump(source, &sender, &spare))
            .map_err(ExtractError::Read)?;
        let mut chunks = Chunks::new(receiver, give_back, limits.archive_bytes);
        let summary = extract(&mut chunks, target, whiteouts, limits);
        let summary = match (summary, chunks.overflow) {
            (Err(_), true) => {
                return Err(ExtractError::TooMuch {
                    what: "bytes in the archive",
                    limit: limits.archive_bytes,
                });
            }
            (summary, _) => summary?,
        };
        let archive_bytes = chunks.bytes;
        let diff_id = Digest::from_sha256(&chunks.hasher.finalize().into());
        match expected {
            Some(expected) if *expected != diff_id => Err(ExtractError::WrongDiffId {
                expected: expected.to_string(),
                actual: diff_id.to_string(),
            }),
            _ => Ok(Unpacked { diff_id, archive_bytes, summary }),
        }
    })
}

/// Reads and decompresses `source`, until its end, an error, or the receiver is gone.
fn pump(
    source: impl Read + Send,
    chunks: &SyncSender<io::Result<Vec<u8>>>,
    spare: &Receiver<Vec<u8>>,
) {
    let mut stream = match decompress(source) {
        Ok(stream) => stream,
        Err(error) => {
            let _ = chunks.send(Err(error));
            return;
        }
    };
    loop {
        let mut chunk = spare.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        match fill(&mut stream, &mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                if chunks.send(Ok(chunk)).is_err() {
                    return;
                }
            }
            Err(error) => {
                let _ = chunks.send(Err(error));
                return;
            }
        }
    }
}

/// Reads until the chunk is full or the stream ends.
fn fill(stream: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match stream.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The decompressed stream, hashed and counted as it is received.
struct Chunks {
    receiver: Receiver<io::Result<Vec<u8>>>,
    give_back: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    taken: usize,
    hasher: Sha256,
    bytes: u64,
    limit: u64,
    overflow: bool,
}

impl Chunks {
    fn new(
        receiver: Receiver<io::Result<Vec<u8>>>,
        give_back: SyncSender<Vec<u8>>,
        limit: u64,
    ) -> Self {
        Self {
            receiver,
            give_back,
            chunk: Vec::new(),
            taken: 0,
            hasher: Sha256::new(),
            bytes: 0,
            limit,
            overflow: false,
        }
    }

    fn next(&mut self) -> io::Result<()> {
        let empty = std::mem::take(&mut self.chunk);
        self.taken = 0;
        let _ = self.give_back.try_send(empty);
        // A sender that is gone without an error has reached the end of the stream.
        let Ok(chunk) = self.receiver.recv() else { return Ok(()) };
        self.chunk = chunk?;
        self.bytes += self.chunk.len() as u64;
        if self.bytes > self.limit {
            self.overflow = true;
            return Err(io::Error::other("layer too large"));
        }
        self.hasher.update(&self.chunk);
        Ok(())
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.chunk.len() {
            self.next()?;
        }
        Ok(&self.chunk[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}
