//! Reading a log from start to end, and on.

use crate::changes::Changes;
use crate::entry::Entry;
use crate::files::{Cursor, count};
use crate::tail::{start_of_last, start_of_since};
use base_errors::{Classify, Kind};
use jiff::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches that wait for a slow reader; each is at most 256 KiB of the file.
const QUEUE: usize = 2;
/// After the writer stopped, its last bytes are in the file already; before it wrote the first,
/// the file is not there yet. inotify tells both; this only bounds how long a missed one hides.
const RECHECK: Duration = Duration::from_secs(5);

/// Which entries are wanted from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    /// All that are there.
    #[default]
    All,
    /// The last this many.
    Last(u64),
}

/// What to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query {
    /// How many of the old ones.
    pub tail: Tail,
    /// Nothing older.
    pub since: Option<Timestamp>,
    /// Nothing newer; following ends there.
    pub until: Option<Timestamp>,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("read log {path}")]
    Read {
        /// The log.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        let Self::Read { source, .. } = self;
        Kind::from_io(source)
    }
}

/// Reads the log at `base` into a channel of batches. With `stopped`, goes on until that future
/// is ready and everything written before has been sent.
///
/// A log that does not exist yet has no entries.
pub fn read(
    base: &Path,
    query: Query,
    stopped: Option<impl Future<Output = ()> + Send + 'static>,
) -> mpsc::Receiver<Result<Vec<Entry>, Error>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let base = base.to_owned();
    tokio::spawn(async move {
        let reading = Reading { base: base.clone(), query, sender: sender.clone() };
        if let Err(source) = reading.run(stopped).await {
            let _ = sender.send(Err(Error::Read { path: base, source })).await;
        }
    });
    receiver
}

struct Reading {
    base: PathBuf,
    query: Query,
    sender: mpsc::Sender<Result<Vec<Entry>, Error>>,
}

impl Reading {
    async fn run(&self, stopped: Option<impl Future<Output = ()>>) -> io::Result<()> {
        // Watching starts before the first read, so that nothing falls between.
        let changes = stopped.as_ref().map(|_| Changes::watch(&self.base)).transpose()?;
        let mut cursor = self.open().await?;
        let Some((changes, stopped)) = changes.zip(stopped) else {
            return self.drain(&mut cursor).await.map(drop);
        };
        let mut stopped = std::pin::pin!(stopped);
        loop {
            if cursor.is_none() {
                cursor = self.open().await?;
            }
            if !self.drain(&mut cursor).await? {
                return Ok(());
            }
            // Cancel-safe: an event not consumed is seen by the next call, a stop stays stopped.
            tokio::select! {
                biased;
                () = &mut stopped => {
                    if cursor.is_none() {
                        cursor = self.open().await?;
                    }
                    return self.drain(&mut cursor).await.map(drop);
                }
                () = self.sender.closed() => return Ok(()),
                () = until(self.query.until) => return Ok(()),
                changed = changes.changed() => changed?,
                () = tokio::time::sleep(RECHECK) => {}
            }
        }
    }

    async fn open(&self) -> io::Result<Option<Cursor>> {
        let (base, Query { tail, since, .. }) = (self.base.clone(), self.query);
        blocking(move || {
            let files = count(&base);
            if files == 0 {
                return Ok(None);
            }
            let (index, offset) = match (tail, since) {
                (Tail::All, None) => (files - 1, 0),
                (Tail::All, Some(since)) => start_of_since(&base, files, since)?,
                (Tail::Last(lines), _) => start_of_last(&base, files, lines)?,
            };
            Cursor::open(&base, index, offset).map(Some)
        })
        .await
    }

    /// Sends all that is there; false when no more is wanted.
    async fn drain(&self, cursor: &mut Option<Cursor>) -> io::Result<bool> {
        while let Some(mut at) = cursor.take() {
            let (at, batch) = blocking(move || {
                let batch = at.batch()?;
                Ok((at, batch))
            })
            .await?;
            *cursor = Some(at);
            if batch.is_empty() {
                return Ok(true);
            }
            let Query { since, until, .. } = self.query;
            let over = until.is_some_and(|end| batch.last().is_some_and(|last| last.time > end));
            let wanted: Vec<Entry> = batch
                .into_iter()
                .filter(|entry| since.is_none_or(|start| entry.time >= start))
                .filter(|entry| until.is_none_or(|end| entry.time <= end))
                .collect();
            if (!wanted.is_empty() && self.sender.send(Ok(wanted)).await.is_err()) || over {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Waits for an instant of the wall clock; for ever when there is none.
async fn until(instant: Option<Timestamp>) {
    let Some(instant) = instant else { return std::future::pending().await };
    let left = Timestamp::now().duration_until(instant);
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(text: &str, second: u32) -> String {
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:{second:02}Z\"}}\n"
        )
    }

    async fn all(mut receiver: mpsc::Receiver<Result<Vec<Entry>, Error>>) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(batch) = receiver.recv().await {
            for entry in batch.unwrap() {
                texts.push(String::from_utf8_lossy(&entry.line).trim().to_owned());
            }
        }
        texts
    }

    const NO_FOLLOW: Option<std::future::Ready<()>> = None;

    #[tokio::test]
    async fn tail_since_and_until_combine() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        let lines: String = (0..10).map(|n| line(&n.to_string(), n)).collect();
        std::fs::write(&base, lines).unwrap();
        let query = Query {
            tail: Tail::Last(5),
            since: Some("2026-01-01T00:00:06Z".parse().unwrap()),
            until: Some("2026-01-01T00:00:08Z".parse().unwrap()),
        };
        assert_eq!(all(read(&base, query, NO_FOLLOW)).await, ["6", "7", "8"]);
    }

    #[tokio::test]
    async fn following_sees_new_lines_and_ends_when_the_writer_stops() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("x.log");
        std::fs::write(&base, line("a", 1)).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut receiver = read(
            &base,
            Query { tail: Tail::Last(0), ..Query::default() },
            Some(async move {
                let _ = stopped.await;
            }),
        );
        // The first batch can only be sent once the tail has been skipped, so append until one
        // line arrives.
        let mut file = std::fs::OpenOptions::new().append(true).open(&base).unwrap();
        let mut wrote = 0;
        let first = loop {
            file.write_all(line("b", 2).as_bytes()).unwrap();
            wrote += 1;
            tokio::select! {
                batch = receiver.recv() => break batch.unwrap().unwrap(),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        };
        assert!(first.len() <= wrote);
        file.write_all(line("last", 3).as_bytes()).unwrap();
        stop.send(()).unwrap();
        assert_eq!(all(receiver).await.last().unwrap(), "last");
    }

    #[tokio::test]
    async fn a_log_that_does_not_exist_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("none.log");
        assert!(all(read(&base, Query::default(), NO_FOLLOW)).await.is_empty());
    }
}
