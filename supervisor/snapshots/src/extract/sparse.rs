//! Sparse files: GNU tar's old format and its PAX formats 0.0, 0.1 and 1.0
//! (GNU tar manual, "Storing Sparse Files").

use super::archive::fill;
use super::error::ExtractError;
use super::limits::Limits;
use super::pax::{PaxSparse, decimal, too_sparse};
use std::io::Read;

/// A piece of a sparse file that has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Where a sparse file's data belongs.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) segments: Vec<Segment>,
    pub(super) real_size: u64,
    /// Bytes of the entry's data that were the map itself (format 1.0).
    pub(super) map_bytes: u64,
}

/// Reads the map in a header of type `S` and the blocks that continue it.
pub(super) fn old_gnu(
    header: &tar::Header,
    input: &mut impl Read,
    limits: &Limits,
) -> Result<Layout, ExtractError> {
    let gnu = header.as_gnu().ok_or(malformed("sparse entry without a GNU header"))?;
    let real_size = gnu.real_size().map_err(|_| malformed("sparse size is not a number"))?;
    let mut segments = Vec::new();
    push_all(&mut segments, &gnu.sparse, limits)?;
    let mut extended = gnu.is_extended();
    while extended {
        let mut block = tar::GnuExtSparseHeader::new();
        if !fill(input, block.as_mut_bytes())? {
            return Err(ExtractError::Truncated);
        }
        push_all(&mut segments, block.sparse(), limits)?;
        extended = block.is_extended();
    }
    Ok(Layout { segments, real_size, map_bytes: 0 })
}

fn push_all(
    segments: &mut Vec<Segment>,
    headers: &[tar::GnuSparseHeader],
    limits: &Limits,
) -> Result<(), ExtractError> {
    // Also bounds the chain of continuation blocks: an empty one counts as a piece.
    if segments.len() as u64 >= limits.sparse_segments {
        return Err(too_sparse(limits));
    }
    let before = segments.len();
    for header in headers.iter().take_while(|header| !header.is_empty()) {
        let wrong = |_| malformed("a sparse number is not one");
        let offset = header.offset().map_err(wrong)?;
        segments.push(Segment { offset, length: header.length().map_err(wrong)? });
    }
    if before > 0 && segments.len() == before {
        return Err(malformed("empty continuation of a sparse map"));
    }
    Ok(())
}

/// The map that PAX records hold or announce; `None` for an ordinary file.
pub(super) fn from_pax(
    sparse: &PaxSparse,
    size: u64,
    input: &mut impl Read,
    limits: &Limits,
) -> Result<Option<Layout>, ExtractError> {
    if sparse.major == Some(1) && sparse.minor.unwrap_or(0) == 0 {
        let real_size = sparse.real_size.ok_or(malformed("sparse entry without its size"))?;
        let (map, map_bytes) = map_in_data(size, input, limits)?;
        return Ok(Some(Layout { segments: pairs(&map)?, real_size, map_bytes }));
    }
    if !sparse.has_map {
        return Ok(None);
    }
    let real_size = sparse.real_size.ok_or(malformed("sparse entry without its size"))?;
    Ok(Some(Layout { segments: pairs(&sparse.map)?, real_size, map_bytes: 0 }))
}

/// Reads the map of format 1.0: decimal numbers, one a line, padded to a block.
fn map_in_data(
    size: u64,
    input: &mut impl Read,
    limits: &Limits,
) -> Result<(Vec<u64>, u64), ExtractError> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut wanted = None;
    let mut text = Vec::new();
    let mut read = 0;
    loop {
        let mut block = [0_u8; 512];
        read += 512;
        if read > size.next_multiple_of(512) || !fill(input, &mut block)? {
            return Err(malformed("sparse map longer than its entry"));
        }
        for byte in block {
            if byte != b'\n' {
                text.push(byte);
                if text.len() > 20 {
                    return Err(malformed("a sparse number is not one"));
                }
                continue;
            }
            let number = decimal(&text).ok_or(malformed("a sparse number is not one"))?;
            text.clear();
            match wanted {
                None if number > limits.sparse_segments => return Err(too_sparse(limits)),
                None => wanted = Some(2 * number),
                Some(_) => numbers.push(number),
            }
            // The rest of the block is padding.
            if wanted == Some(numbers.len() as u64) {
                return Ok((numbers, read));
            }
        }
    }
}

fn pairs(numbers: &[u64]) -> Result<Vec<Segment>, ExtractError> {
    if !numbers.len().is_multiple_of(2) {
        return Err(malformed("sparse map of an odd length"));
    }
    let pair = |pair: &[u64]| Segment { offset: pair[0], length: pair[1] };
    Ok(numbers.chunks_exact(2).map(pair).collect())
}

/// Segments must ascend, fit into the file, and be exactly what the entry stores.
pub(super) fn check(layout: &Layout, stored: u64, limits: &Limits) -> Result<(), ExtractError> {
    if layout.real_size > limits.file_bytes {
        return Err(ExtractError::TooMuch { what: "bytes in a file", limit: limits.file_bytes });
    }
    let wrong = malformed("sparse map does not fit its file");
    let (mut end, mut total) = (0_u64, 0_u64);
    for segment in &layout.segments {
        let next = segment.offset.checked_add(segment.length);
        let Some(next) = next.filter(|next| segment.offset >= end && *next <= layout.real_size)
        else {
            return Err(wrong);
        };
        end = next;
        total += segment.length;
    }
    if total == stored { Ok(()) } else { Err(wrong) }
}

const fn malformed(why: &'static str) -> ExtractError {
    ExtractError::Malformed { why }
}
