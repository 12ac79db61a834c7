//! Makes each entry of an archive in the layer's directory.

use super::archive::{Archive, Entry, EntryKind, Mtime};
use super::attributes;
use super::error::ExtractError;
use super::names::{LayerPath, Meaning, meaning};
use super::tree::{self, Tree};
use super::{Limits, Summary, Whiteouts};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The work on one layer.
pub(super) struct Writer {
    tree: Tree,
    whiteouts: Whiteouts,
    /// Directories whose times are set at the end, when nothing changes in them any more.
    directories: Vec<(LayerPath, Mtime)>,
    /// What this layer made, where a whiteout would delete the same name of a lower layer.
    made: BTreeSet<Vec<u8>>,
    missing_links: MissingLinks,
    /// Bytes of the names in the three above.
    remembered: usize,
    limits: Limits,
    bytes: u64,
    inodes: u64,
}

impl Writer {
    pub(super) fn new(root: OwnedFd, whiteouts: Whiteouts, limits: &Limits) -> Self {
        Self {
            tree: Tree::new(root, whiteouts == Whiteouts::Overlay),
            whiteouts,
            directories: Vec::new(),
            made: BTreeSet::new(),
            missing_links: MissingLinks::default(),
            remembered: 0,
            limits: *limits,
            bytes: 0,
            inodes: 0,
        }
    }

    /// Makes one entry, reading its data from the archive.
    pub(super) fn write<R: BufRead>(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<'_, R>,
    ) -> Result<(), ExtractError> {
        let path = LayerPath::parse(&entry.name)?;
        let Some((parent, name)) = path.split() else { return self.root(entry) };
        self.make_entry(&path, parent, name, entry, archive)?;
        self.check_limits()
    }

    fn make_entry<R: BufRead>(
        &mut self,
        path: &LayerPath,
        parent: &[u8],
        name: &[u8],
        entry: &Entry,
        archive: &mut Archive<'_, R>,
    ) -> Result<(), ExtractError> {
        if name.len() > 255 {
            return Err(ExtractError::entry("make", &entry.name, Errno::NAMETOOLONG));
        }
        match meaning(name)? {
            Meaning::AufsMetadata => return Ok(()),
            Meaning::Opaque => return self.opaque(parent, entry),
            Meaning::Whiteout(hidden) => return self.whiteout(parent, hidden, entry),
            Meaning::Plain => {}
        }
        let directory = self
            .tree
            .make_directory(parent)
            .map_err(|error| ExtractError::entry("make the parent of", &entry.name, error))?;
        let directory = directory.as_fd();
        // Of entries of one name the last counts.
        self.missing_links.replaced(path);
        match &entry.kind {
            EntryKind::Directory => self.directory(directory, path, name, entry)?,
            EntryKind::File { .. } => self.file(directory, name, entry, archive)?,
            EntryKind::HardLink => return self.hard_link(directory, path, name, entry),
            EntryKind::Symlink => {
                self.symlink(directory, name, entry)?;
            }
            EntryKind::CharacterDevice { major, minor } => {
                self.node(directory, name, entry, FileType::CharacterDevice, (*major, *minor))?;
            }
            EntryKind::BlockDevice { major, minor } => {
                self.node(directory, name, entry, FileType::BlockDevice, (*major, *minor))?;
            }
            EntryKind::Fifo => self.node(directory, name, entry, FileType::Fifo, (0, 0))?,
        }
        self.inodes += 1;
        self.note(path);
        Ok(())
    }

    /// What a small archive can make large: memory, and inodes for directories that it only
    /// implies.
    fn check_limits(&self) -> Result<(), ExtractError> {
        let (implied_bytes, implied) = self.tree.implied();
        if self.remembered + implied_bytes > self.limits.remembered_bytes {
            let limit = self.limits.remembered_bytes as u64;
            return Err(ExtractError::TooMuch { what: "bytes in names of directories", limit });
        }
        if self.inodes + implied > self.limits.entries {
            return Err(ExtractError::TooMuch { what: "entries", limit: self.limits.entries });
        }
        Ok(())
    }

    /// Sets the times of directories; the layer is then complete.
    pub(super) fn finish(self) -> Result<Summary, ExtractError> {
        for (path, mtime) in self.directories.iter().rev() {
            let result = match path.split() {
                None => attributes::set_times_on_name(self.tree.root(), b".", *mtime),
                Some((parent, name)) => self.tree.open_directory(parent).and_then(|directory| {
                    let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                        attributes::set_times_on_name(directory.as_fd(), name, *mtime)?;
                    }
                    Ok(())
                }),
            };
            match result {
                // A later entry replaced it, or a parent of it.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => {
                    return Err(ExtractError::entry("set the times of", path.as_bytes(), error));
                }
            }
        }
        Ok(Summary {
            bytes: self.bytes,
            inodes: self.inodes,
            implicit: self.tree.into_implicit(),
            missing_links: self.missing_links.in_order(),
        })
    }

    /// The entry of the layer's root gives the root its attributes; it cannot be anything but a
    /// directory (CVE-2021-29136).
    fn root(&mut self, entry: &Entry) -> Result<(), ExtractError> {
        if entry.kind != EntryKind::Directory {
            return Err(ExtractError::unsafe_name(&entry.name, "the root must be a directory"));
        }
        attributes::set_on_file(self.tree.root(), entry)?;
        self.directories.push((LayerPath::default(), entry.mtime));
        Ok(())
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &LayerPath,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        let wrap = |error: Errno| ExtractError::entry("make directory", &entry.name, error);
        let mut opaque = false;
        if let Err(error) = rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            if error != Errno::EXIST {
                return Err(wrap(error));
            }
            let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(wrap)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                opaque = self.whiteouts == Whiteouts::Overlay && tree::is_whiteout(&stat);
                self.replace(parent, name, entry)?;
                rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)).map_err(wrap)?;
            }
        }
        let directory = tree::open_beneath(parent, name).map_err(wrap)?;
        attributes::set_on_file(directory.as_fd(), entry)?;
        if opaque {
            // The lower directory was whited out first: it must not shine through this one.
            tree::set_opaque(directory.as_fd()).map_err(wrap)?;
        }
        self.tree.made(path.as_bytes());
        self.remembered += path.as_bytes().len() + size_of::<(LayerPath, Mtime)>();
        self.directories.push((path.clone(), entry.mtime));
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        archive: &mut Archive<'_, R>,
    ) -> Result<(), ExtractError> {
        let create = || {
            rustix::fs::openat(
                parent,
                name,
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::from_raw_mode(0o600),
            )
        };
        let file = self.make(parent, name, entry, "create", create)?;
        self.bytes += copy_data(&file, entry, archive)?;
        attributes::set_on_file(file.as_fd(), entry)?;
        attributes::set_times(file.as_fd(), entry)
    }

    fn symlink(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        let link = || rustix::fs::symlinkat(&entry.link[..], parent, name);
        self.make(parent, name, entry, "make symbolic link", link)?;
        attributes::set_on_name(parent, name, entry, true)
    }

    fn node(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        file_type: FileType,
        (major, minor): (u32, u32),
    ) -> Result<(), ExtractError> {
        let mode = Mode::from_raw_mode(0o600);
        let node = || rustix::fs::mknodat(parent, name, file_type, mode, makedev(major, minor));
        self.make(parent, name, entry, "make node", node)?;
        attributes::set_on_name(parent, name, entry, false)
    }

    /// The target is a name of the layer too, resolved inside it and itself never followed
    /// (CVE-2018-20990); attributes come from the entry that made the target.
    fn hard_link(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &LayerPath,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        let target = LayerPath::parse(&entry.link)?;
        if target == *path {
            return Ok(());
        }
        let Some((target_parent, target_name)) = target.split() else {
            return Err(ExtractError::unsafe_name(&entry.name, "a hard link to the root"));
        };
        let source = match self.tree.open_directory(target_parent) {
            Ok(directory)
                if rustix::fs::statat(&directory, target_name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| !tree::is_whiteout(&stat)) =>
            {
                directory
            }
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {
                self.remembered += path.as_bytes().len() + target.as_bytes().len();
                self.missing_links.add(path, &target);
                return Ok(());
            }
            Err(error) => {
                return Err(ExtractError::entry("find the target of", &entry.name, error));
            }
        };
        let link = || rustix::fs::linkat(&source, target_name, parent, name, AtFlags::empty());
        self.make(parent, name, entry, "make hard link", link)?;
        self.note(path);
        Ok(())
    }

    /// Runs `create`; where the name is taken, removes what is there and runs it again.
    fn make<T>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        step: &'static str,
        create: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, ExtractError> {
        match create() {
            Err(Errno::EXIST) => {
                self.replace(parent, name, entry)?;
                create()
            }
            other => other,
        }
        .map_err(|error| ExtractError::entry(step, &entry.name, error))
    }

    fn replace(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        self.tree.forget();
        tree::remove_all(parent, name)
            .map_err(|error| ExtractError::entry("replace", &entry.name, error))
    }

    fn note(&mut self, path: &LayerPath) {
        if self.whiteouts == Whiteouts::Delete {
            self.remembered += path.as_bytes().len();
            self.made.insert(path.as_bytes().to_vec());
        }
    }

    /// Hides what the lower layers have in the directory `parent`.
    fn opaque(&mut self, parent: &[u8], entry: &Entry) -> Result<(), ExtractError> {
        let wrap = |error: Errno| ExtractError::entry("make opaque", &entry.name, error);
        match self.whiteouts {
            Whiteouts::Nothing => Ok(()),
            Whiteouts::Overlay => {
                let directory = self.tree.make_directory(parent).map_err(wrap)?;
                tree::set_opaque(directory.as_fd()).map_err(wrap)
            }
            Whiteouts::Delete => self.delete_others(parent).map_err(wrap),
        }
    }

    /// Removes the lower layers' entries below `parent`, keeping what this layer made.
    fn delete_others(&mut self, parent: &[u8]) -> Result<(), Errno> {
        self.tree.forget();
        let directory = match self.tree.open_directory(parent) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(error),
        };
        for item in rustix::fs::Dir::read_from(&directory)? {
            let item = item?;
            let name = item.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let mut path = parent.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            if self.made_at_or_below(&path) {
                if tree::open_beneath(&directory, name).is_ok() {
                    self.delete_others(&path)?;
                }
            } else {
                tree::remove_all(&directory, name)?;
            }
        }
        Ok(())
    }

    fn made_at_or_below(&self, path: &[u8]) -> bool {
        let below = [path, b"/"].concat();
        self.made.contains(path)
            || self.made.range(below.clone()..).next().is_some_and(|made| made.starts_with(&below))
    }

    /// Hides the lower layers' `hidden` in the directory `parent`. What the same layer itself has
    /// there stays: a whiteout speaks of lower layers only.
    fn whiteout(
        &mut self,
        parent: &[u8],
        hidden: &[u8],
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        let wrap = |error: Errno| ExtractError::entry("white out", &entry.name, error);
        match self.whiteouts {
            Whiteouts::Nothing => Ok(()),
            Whiteouts::Overlay => {
                let directory = self.tree.make_directory(parent).map_err(wrap)?;
                let mode = Mode::empty();
                let made = rustix::fs::mknodat(
                    &*directory,
                    hidden,
                    FileType::CharacterDevice,
                    mode,
                    makedev(0, 0),
                );
                match made {
                    Ok(()) => {
                        self.inodes += 1;
                        Ok(())
                    }
                    // Ours: a directory of this layer must still not show the lower one.
                    Err(Errno::EXIST) => match tree::open_beneath(&*directory, hidden) {
                        Ok(ours) => tree::set_opaque(ours.as_fd()).map_err(wrap),
                        Err(_) => Ok(()),
                    },
                    Err(error) => Err(wrap(error)),
                }
            }
            Whiteouts::Delete => {
                let mut path = parent.to_vec();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(hidden);
                if self.made_at_or_below(&path) {
                    return self.delete_others(&path).map_err(wrap);
                }
                self.tree.forget();
                match self.tree.open_directory(parent) {
                    Ok(directory) => tree::remove_all(&directory, hidden).map_err(wrap),
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                    Err(error) => Err(wrap(error)),
                }
            }
        }
    }
}

/// Hard links whose target is not in this layer, by path: place among the others, and target.
#[derive(Default)]
struct MissingLinks {
    links: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
    next: u64,
}

impl MissingLinks {
    fn add(&mut self, path: &LayerPath, target: &LayerPath) {
        let link = (self.next, target.as_bytes().to_vec());
        self.links.insert(path.as_bytes().to_vec(), link);
        self.next += 1;
    }

    /// An entry of this name is being made: a link of the name, or in place of a directory above,
    /// is none any more.
    fn replaced(&mut self, path: &LayerPath) {
        if self.links.is_empty() {
            return;
        }
        let path = path.as_bytes();
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            self.links.remove(&path[..end]);
        }
    }

    fn in_order(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut links: Vec<_> = self.links.into_iter().collect();
        links.sort_by_key(|(_, (place, _))| *place);
        links.into_iter().map(|(path, (_, target))| (path, target)).collect()
    }
}

/// Writes an entry's data into its file; gives the bytes written.
fn copy_data<R: BufRead>(
    file: &OwnedFd,
    entry: &Entry,
    archive: &mut Archive<'_, R>,
) -> Result<u64, ExtractError> {
    let wrap = |error: Errno| ExtractError::entry("write", &entry.name, error);
    let EntryKind::File { sparse, real_size } = &entry.kind else { return Ok(0) };
    let Some(segments) = sparse else {
        let mut written = 0;
        loop {
            let data = archive.data()?;
            if data.is_empty() {
                return Ok(written);
            }
            let length = rustix::io::write(file, data).map_err(wrap)?;
            archive.consume(length);
            written += length as u64;
        }
    };
    rustix::fs::ftruncate(file, *real_size).map_err(wrap)?;
    let mut written = 0;
    for segment in segments {
        let (mut offset, end) = (segment.offset, segment.offset + segment.length);
        while offset < end {
            let data = archive.data()?;
            let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let data = &data[..data.len().min(wanted)];
            let length = rustix::io::pwrite(file, data, offset).map_err(wrap)?;
            archive.consume(length);
            offset += length as u64;
            written += length as u64;
        }
    }
    Ok(written)
}
