//! The files of an archive that is no layer, for who reads them instead of unpacking them.

use super::archive::{Archive, EntryKind};
use super::error::ExtractError;
use super::limits::Limits;
use super::names::LayerPath;
use std::io::{self, BufRead, Read};

/// One entry that has content, or stands for one that has.
pub enum Item<'a> {
    /// A regular file.
    File {
        /// Its cleaned name.
        name: &'a str,
        /// Its length.
        size: u64,
        /// Its content; what is not read is skipped.
        content: &'a mut dyn Read,
    },
    /// A symbolic or hard link.
    Link {
        /// Its cleaned name.
        name: &'a str,
        /// What it says, as it says it.
        target: &'a str,
    },
}

/// Visits every file and link of the archive in its order.
///
/// # Errors
/// The stream is damaged, passes a limit, or has a name that is no UTF-8 or leads outside; or what
/// `visit` answers.
pub fn visit_files<E: From<ExtractError>>(
    stream: impl BufRead,
    limits: &Limits,
    mut visit: impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = Archive::new(stream, limits);
    while let Some(entry) = archive.next_entry()? {
        let path = LayerPath::parse(&entry.name)?;
        let not_text = |_| ExtractError::unsafe_name(&entry.name, "its name is not UTF-8");
        let name = str::from_utf8(path.as_bytes()).map_err(not_text)?;
        match entry.kind {
            EntryKind::File { sparse: None, real_size: size } => {
                visit(Item::File { name, size, content: &mut Content(&mut archive) })?;
            }
            EntryKind::Symlink | EntryKind::HardLink => {
                let target = str::from_utf8(&entry.link).map_err(not_text)?;
                visit(Item::Link { name, target })?;
            }
            _ => {}
        }
    }
    Ok(archive.drain()?)
}

/// The content of the entry that an archive is at.
struct Content<'a, 'b, R>(&'a mut Archive<'b, R>);

impl<R: BufRead> Read for Content<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut data = self.0.data().map_err(io::Error::other)?;
        let length = data.read(buffer)?;
        self.0.consume(length);
        Ok(length)
    }
}
