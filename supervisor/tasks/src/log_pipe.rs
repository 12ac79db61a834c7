//! The `log` fifo that other people's shims write their log to; its lines go to ours.

use crate::Error;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

const NAME: &str = "log";
const LONGEST_LINE: u64 = 16 << 10;

/// Makes the fifo where there is none, and reads it until the task is aborted: the fifo is opened
/// for writing too, so that a shim between two opens is no end.
pub(crate) fn follow(bundle: &Path, id: &str) -> Result<tokio::task::JoinHandle<()>, Error> {
    let path = bundle.join(NAME);
    let failed = |source| Error::Bundle { what: "make", path: path.clone(), source };
    match mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(failed(error.into())),
    }
    let reader = pipe::OpenOptions::new().read_write(true).open_receiver(&path).map_err(failed)?;
    let id = id.to_owned();
    Ok(tokio::spawn(async move {
        let mut reader = BufReader::with_capacity(1024, reader);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
                Ok(1..) => {
                    let text = String::from_utf8_lossy(&line);
                    tracing::info!(container = %id, line = text.trim_end(), "shim's log");
                }
                _ => return,
            }
        }
    }))
}
