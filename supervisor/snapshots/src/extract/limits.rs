//! How much a layer may hold.

/// Bounds on one layer, so that a hostile one ends in an error instead of a full machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries in the archive, and files and directories made for them.
    pub entries: u64,
    /// Bytes of an entry's or a link's name (`PATH_MAX`).
    pub name_bytes: u64,
    /// Bytes of one extension header (PAX records, GNU long name); Go's archive/tar has the same.
    pub extension_bytes: u64,
    /// Bytes of one extended attribute's value (`XATTR_SIZE_MAX`).
    pub xattr_bytes: u64,
    /// Extended attributes of one entry; no file system takes nearly as many.
    pub xattrs: usize,
    /// Bytes of names that are remembered until the layer is complete: directories, whose times
    /// are set last, and hard links into lower layers.
    pub remembered_bytes: usize,
    /// Pieces of one sparse file.
    pub sparse_segments: u64,
    /// Bytes of the uncompressed archive.
    pub archive_bytes: u64,
    /// Logical bytes of one file, holes included.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            name_bytes: 4096,
            extension_bytes: 1 << 20,
            xattr_bytes: 64 << 10,
            xattrs: 1000,
            remembered_bytes: 128 << 20,
            sparse_segments: 100_000,
            archive_bytes: 512 << 30,
            file_bytes: 1 << 40,
        }
    }
}
