//! Reads a tar stream entry by entry: ustar, GNU and PAX, as Go's archive/tar understands them.
//!
//! What an archive means must not depend on who reads it: Docker reads layers with Go's package,
//! so sizes, long names and header-only types follow its order of precedence. An extension's own
//! size always comes from its own header, never from a PAX record (the class of CVE-2025-62518).

use super::error::ExtractError;
use super::limits::Limits;
use super::pax::{self, Pax};
use super::sparse::{self, Segment};
use std::io::{self, BufRead, Read};

const BLOCK: usize = 512;

/// A time of last modification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mtime {
    pub(super) seconds: i64,
    pub(super) nanoseconds: i64,
}

/// What an entry makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File { sparse: Option<Vec<Segment>>, real_size: u64 },
    Directory,
    Symlink,
    HardLink,
    CharacterDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

/// One entry, its extensions applied.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Mtime,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A tar stream, at the end of a header or somewhere in an entry's data.
pub(super) struct Archive<'a, R> {
    input: R,
    limits: &'a Limits,
    /// Data bytes of the current entry not yet read.
    data: u64,
    /// Bytes that fill the last block of the current entry.
    padding: u64,
    entries: u64,
}

impl<'a, R: BufRead> Archive<'a, R> {
    pub(super) fn new(input: R, limits: &'a Limits) -> Self {
        Self { input, limits, data: 0, padding: 0, entries: 0 }
    }

    /// The next entry, or `None` at the end of the archive.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, ExtractError> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.next_header()? else { return Ok(None) };
            let flag = header.entry_type().as_byte();
            match flag {
                b'x' => {
                    let records = self.extension(&header)?;
                    extensions.pax = pax::parse(&records, self.limits)?;
                }
                b'L' => extensions.long_name = Some(until_nul(self.extension(&header)?)),
                b'K' => extensions.long_link = Some(until_nul(self.extension(&header)?)),
                // Global records say nothing about one entry, and Docker skips them; but to Go's
                // reader they are an entry, at which what was said of the next one is forgotten.
                b'g' => {
                    self.extension(&header)?;
                    extensions = Extensions::default();
                }
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    /// Skips what is left of the current entry and reads a header block.
    fn next_header(&mut self) -> Result<Option<Box<tar::Header>>, ExtractError> {
        let rest = self.data + self.padding;
        skip(&mut self.input, rest)?;
        (self.data, self.padding) = (0, 0);
        let mut block = [0_u8; BLOCK];
        if !fill(&mut self.input, &mut block)? {
            return Ok(None);
        }
        if is_zero(&block) {
            // Two of them end an archive; some writers leave the second out.
            if fill(&mut self.input, &mut block)? && !is_zero(&block) {
                return Err(malformed("something follows a block of zeros"));
            }
            return Ok(None);
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ExtractError::TooMuch { what: "entries", limit: self.limits.entries });
        }
        let header = Box::new(tar::Header::from_byte_slice(&block).clone());
        let sum: u32 = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum();
        let expected = header.cksum().map_err(|_| malformed("header checksum is not a number"))?;
        if expected != sum + 8 * u32::from(b' ') {
            return Err(malformed("header checksum does not match"));
        }
        Ok(Some(header))
    }

    /// Reads the whole data of an extension header.
    fn extension(&mut self, header: &tar::Header) -> Result<Vec<u8>, ExtractError> {
        let size = header.entry_size().map_err(|_| malformed("size is not a number"))?;
        if size > self.limits.extension_bytes {
            return Err(ExtractError::TooMuch {
                what: "bytes in an extension header",
                limit: self.limits.extension_bytes,
            });
        }
        let mut data = vec![0; usize::try_from(size).expect("the limit fits in memory")];
        if !fill(&mut self.input, &mut data)? && size > 0 {
            return Err(ExtractError::Truncated);
        }
        self.padding = padding_of(size);
        Ok(data)
    }

    fn entry(&mut self, header: &tar::Header, ext: Extensions) -> Result<Entry, ExtractError> {
        let Extensions { mut pax, long_name, long_link } = ext;
        let name = long_name.or(pax.path.take()).unwrap_or_else(|| header_name(header));
        let link = long_link
            .or(pax.link.take())
            .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        for text in [&name, &link] {
            if text.len() as u64 > self.limits.name_bytes {
                let limit = self.limits.name_bytes;
                return Err(ExtractError::TooMuch { what: "bytes in a name", limit });
            }
        }
        let size = match pax.size {
            Some(size) => size,
            None => numeric(&header.as_old().size, || header.entry_size())?,
        };
        let kind = self.kind(header, &name, size, &pax)?;
        let name = pax.sparse.name.take().unwrap_or(name);
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => Mtime {
                seconds: numeric(&header.as_old().mtime, || header.mtime())?.cast_signed(),
                nanoseconds: 0,
            },
        };
        let uid = match pax.uid {
            Some(uid) => uid,
            None => numeric(&header.as_old().uid, || header.uid())?,
        };
        let gid = match pax.gid {
            Some(gid) => gid,
            None => numeric(&header.as_old().gid, || header.gid())?,
        };
        Ok(Entry {
            kind,
            name,
            link,
            mode: numeric(&header.as_old().mode, || header.mode().map(u64::from))? as u32 & 0o7777,
            uid: owner(uid)?,
            gid: owner(gid)?,
            mtime,
            xattrs: pax.xattrs,
        })
    }

    /// Finds out what the entry is, and sets the extent of its data.
    fn kind(
        &mut self,
        header: &tar::Header,
        name: &[u8],
        size: u64,
        pax: &Pax,
    ) -> Result<EntryKind, ExtractError> {
        let device = || -> Result<(u32, u32), ExtractError> {
            let wrong = |_| malformed("device number is not a number");
            Ok((
                header.device_major().map_err(wrong)?.unwrap_or(0),
                header.device_minor().map_err(wrong)?.unwrap_or(0),
            ))
        };
        match header.entry_type().as_byte() {
            // Version 7 archives mark directories by their trailing slash.
            0 if name.ends_with(b"/") => Ok(EntryKind::Directory),
            0 | b'0' | b'7' | b'S' => self.file(header, size, pax),
            b'1' => Ok(EntryKind::HardLink),
            b'2' => Ok(EntryKind::Symlink),
            b'3' => device().map(|(major, minor)| EntryKind::CharacterDevice { major, minor }),
            b'4' => device().map(|(major, minor)| EntryKind::BlockDevice { major, minor }),
            b'5' => Ok(EntryKind::Directory),
            b'6' => Ok(EntryKind::Fifo),
            flag => Err(ExtractError::UnknownType {
                name: String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned(),
                flag,
            }),
        }
    }

    fn file(
        &mut self,
        header: &tar::Header,
        size: u64,
        pax: &Pax,
    ) -> Result<EntryKind, ExtractError> {
        if size > self.limits.archive_bytes {
            return Err(ExtractError::TooMuch {
                what: "bytes in the archive",
                limit: self.limits.archive_bytes,
            });
        }
        self.data = size;
        self.padding = padding_of(size);
        let layout = if header.entry_type().as_byte() == b'S' {
            Some(sparse::old_gnu(header, &mut self.input, self.limits)?)
        } else {
            sparse::from_pax(&pax.sparse, size, &mut self.input, self.limits)?
        };
        let Some(layout) = layout else {
            return Ok(EntryKind::File { sparse: None, real_size: size });
        };
        self.data = size.checked_sub(layout.map_bytes).ok_or(malformed("sparse map too long"))?;
        sparse::check(&layout, self.data, self.limits)?;
        Ok(EntryKind::File { sparse: Some(layout.segments), real_size: layout.real_size })
    }

    /// The next piece of the current entry's data, empty at its end; [`Self::consume`] takes it.
    pub(super) fn data(&mut self) -> Result<&[u8], ExtractError> {
        if self.data == 0 {
            return Ok(&[]);
        }
        let buffer = self.input.fill_buf().map_err(ExtractError::Read)?;
        if buffer.is_empty() {
            return Err(ExtractError::Truncated);
        }
        let length = buffer.len().min(usize::try_from(self.data).unwrap_or(usize::MAX));
        Ok(&buffer[..length])
    }

    /// Takes `length` bytes of what [`Self::data`] gave.
    pub(super) fn consume(&mut self, length: usize) {
        self.input.consume(length);
        self.data -= length as u64;
    }

    /// Reads the stream to its end, for the sake of its digest.
    pub(super) fn drain(mut self) -> Result<(), ExtractError> {
        loop {
            let length = self.input.fill_buf().map_err(ExtractError::Read)?.len();
            if length == 0 {
                return Ok(());
            }
            self.input.consume(length);
        }
    }
}

/// What the extension headers before an entry say about it.
#[derive(Default)]
struct Extensions {
    pax: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

/// The header's own name; the `tar` crate turns backslashes of ustar names into slashes nowhere,
/// but joins prefix and name.
fn header_name(header: &tar::Header) -> Vec<u8> {
    header.path_bytes().into_owned()
}

/// A numeric field; blank ones, as some writers leave them, are zero (as in Go).
fn numeric(field: &[u8], parse: impl FnOnce() -> io::Result<u64>) -> Result<u64, ExtractError> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    parse().map_err(|_| malformed("a numeric header field is not a number"))
}

fn owner(id: u64) -> Result<u32, ExtractError> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or(malformed("owner is not a user or group id"))
}

fn until_nul(mut data: Vec<u8>) -> Vec<u8> {
    if let Some(end) = data.iter().position(|byte| *byte == 0) {
        data.truncate(end);
    }
    data
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

const fn padding_of(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Fills `block`; false if the stream ended before its first byte.
pub(super) fn fill(input: &mut impl Read, block: &mut [u8]) -> Result<bool, ExtractError> {
    let mut filled = 0;
    while filled < block.len() {
        match input.read(&mut block[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(ExtractError::Truncated),
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ExtractError::Read(error)),
        }
    }
    Ok(true)
}

fn skip(input: &mut impl BufRead, mut bytes: u64) -> Result<(), ExtractError> {
    while bytes > 0 {
        let buffer = input.fill_buf().map_err(ExtractError::Read)?;
        if buffer.is_empty() {
            return Err(ExtractError::Truncated);
        }
        let length = buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        input.consume(length);
        bytes -= length as u64;
    }
    Ok(())
}

const fn malformed(why: &'static str) -> ExtractError {
    ExtractError::Malformed { why }
}
