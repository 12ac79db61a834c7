//! Unpacks a layer's tar stream into a directory.
//!
//! The stream is hostile: names, links, sizes, owners and attributes are what a stranger wrote.
//! Everything is done with `*at` calls on descriptors below the target ([`tree`]), every count
//! and length has a bound ([`Limits`]), and nobody may look at the result before the caller has
//! compared the stream's digest with the promised one.
//!
//! The layer is written straight into an overlay's upper directory, without mounting anything
//! and without looking at the layers below, so that the layers of an image can be unpacked at
//! the same time. What needs the lower layers (directories that the archive only implies, hard
//! links into a lower layer) is told in the [`Summary`] and settled by [`adopt`] once those are
//! complete.

mod adopt;
mod archive;
mod attributes;
mod error;
mod files;
mod limits;
mod names;
mod pax;
mod sparse;
mod tree;
mod write;

pub use adopt::adopt;
pub use error::ExtractError;
pub use files::{Item, visit_files};
pub use limits::Limits;
pub(crate) use tree::remove_all;

use std::io::BufRead;
use std::os::fd::OwnedFd;

/// What a whiteout becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// Nothing: there is no lower layer.
    Nothing,
    /// Overlayfs's own marks: a character device 0:0, `trusted.overlay.opaque`.
    Overlay,
    /// The deletion of what the directory already holds.
    Delete,
}

/// What was made, and what the lower layers must still give.
#[derive(Debug, Default)]
pub struct Summary {
    /// Bytes of file content written.
    pub bytes: u64,
    /// Entries made.
    pub inodes: u64,
    /// Directories that no entry describes, relative to the root, parents first.
    pub implicit: Vec<Vec<u8>>,
    /// Hard links (path, target) whose target is not in this layer, in the archive's order.
    pub missing_links: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Unpacks `stream` into the directory `target`, and reads it to its end.
///
/// # Errors
/// The stream is damaged or passes a limit, an entry is unsafe, or the kernel refuses one. What
/// was made by then stays there, for the caller to throw away.
pub fn extract(
    stream: impl BufRead,
    target: OwnedFd,
    whiteouts: Whiteouts,
    limits: &Limits,
) -> Result<Summary, ExtractError> {
    let mut archive = archive::Archive::new(stream, limits);
    let mut writer = write::Writer::new(target, whiteouts, limits);
    while let Some(entry) = archive.next_entry()? {
        writer.write(&entry, &mut archive)?;
    }
    archive.drain()?;
    writer.finish()
}
