//! Reading blobs in pieces, and filtering lists.

use contracts_supervisor_api::services::content::ReadContentResponse;
use futures_util::Stream;
use std::fs::File;
use std::os::unix::fs::FileExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Bytes in one answer; containerd sends as many.
const PIECE: usize = 1 << 20;

/// Pieces that may wait for a slow client.
const PIECES: usize = 2;

/// Sends `size` bytes (to the end, if not positive) of `file` from `offset` on.
pub(super) fn stream(
    file: File,
    length: u64,
    offset: i64,
    size: i64,
) -> Result<impl Stream<Item = Result<ReadContentResponse, Status>>, Status> {
    let length = length.cast_signed();
    if offset < 0 {
        return Err(Status::invalid_argument("offset is negative"));
    }
    if offset > length {
        return Err(Status::out_of_range(format!("read past object length {length} bytes")));
    }
    let end = match offset.checked_add(size) {
        Some(end) if size > 0 && end <= length => end,
        _ => length,
    };
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut at = offset;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            let mut data = vec![0; wanted];
            let answer = match file.read_exact_at(&mut data, at.cast_unsigned()) {
                Ok(()) => Ok(ReadContentResponse { offset: at, data: data.into() }),
                Err(error) => Err(Status::data_loss(format!("read blob: {error}"))),
            };
            let failed = answer.is_err();
            if sender.blocking_send(answer).is_err() || failed {
                return;
            }
            at += wanted.cast_signed() as i64;
        }
    });
    Ok(ReceiverStream::new(receiver))
}
