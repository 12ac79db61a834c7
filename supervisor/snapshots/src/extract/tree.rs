//! The directory that a layer is unpacked into, reached only through descriptors.
//!
//! Every directory is opened by openat2(2) with `RESOLVE_IN_ROOT` from the descriptor of the
//! root, so that no symbolic link of the layer, absolute or with `..`, leads out; what is then
//! made, changed or removed is one name in that directory, never followed.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// How many symbolic links a parent path may go through (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// How many directories deep a missing parent may be made.
const MAX_OPEN: usize = 512;

/// A layer's root and the directory used last.
pub(super) struct Tree {
    root: OwnedFd,
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
    implied: Implied,
    /// Whether a directory made over a whiteout must be opaque.
    overlay: bool,
}

/// Directories that no entry made, only the need for a parent.
#[derive(Default)]
struct Implied {
    names: BTreeSet<Vec<u8>>,
    /// Bytes of the names, and their number, with those that an entry has made by now.
    bytes: usize,
    count: u64,
}

impl Implied {
    fn add(&mut self, path: Vec<u8>) {
        self.bytes += path.len();
        self.count += 1;
        self.names.insert(path);
    }
}

impl Tree {
    pub(super) fn new(root: OwnedFd, overlay: bool) -> Self {
        Self { root, last: None, implied: Implied::default(), overlay }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directories that only their content implied, parents first.
    pub(super) fn into_implicit(self) -> Vec<Vec<u8>> {
        self.implied.names.into_iter().collect()
    }

    /// The bytes of the names of the directories implied so far, and how many they were.
    pub(super) fn implied(&self) -> (usize, u64) {
        (self.implied.bytes, self.implied.count)
    }

    /// An entry of this name has now been made in its own right.
    pub(super) fn made(&mut self, path: &[u8]) {
        if !self.implied.names.is_empty() {
            self.implied.names.remove(path);
        }
    }

    /// Forgets opened directories: something that may be on their way was replaced.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Opens the directory `path`, making what is missing of it.
    pub(super) fn make_directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        if let Some((name, directory)) = &self.last
            && name == path
        {
            return Ok(Rc::clone(directory));
        }
        let directory = match self.open_directory(path) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => self.walk(path)?,
            Err(error) => return Err(error),
        };
        let directory = Rc::new(directory);
        self.last = Some((path.to_vec(), Rc::clone(&directory)));
        Ok(directory)
    }

    /// Opens an existing directory.
    pub(super) fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_in(&self.root, path)
    }

    /// Resolves `path` component by component, making missing directories. Links are followed
    /// inside the root, as Docker's extraction inside a chroot follows them.
    fn walk(&mut self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut todo: Vec<Vec<u8>> = components(path);
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut here: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(component) = todo.pop() {
            if component == b".." {
                done.pop();
                here.pop();
                continue;
            }
            let directory = here.last().unwrap_or(&self.root);
            match rustix::fs::statat(directory, &component[..], AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = rustix::fs::readlinkat(directory, &component[..], Vec::new())?;
                    let target = target.into_bytes();
                    if target.starts_with(b"/") {
                        done.clear();
                        here.clear();
                    }
                    todo.extend(components(&target));
                    continue;
                }
                Ok(stat) if is_whiteout(&stat) && self.overlay => {
                    rustix::fs::unlinkat(directory, &component[..], AtFlags::empty())?;
                    make_implicit(directory, &component)?;
                    set_opaque(open_beneath(directory, &component)?.as_fd())?;
                    self.implied.add(joined(&done, &component));
                }
                Ok(_) => {}
                Err(Errno::NOENT) => {
                    make_implicit(directory, &component)?;
                    self.implied.add(joined(&done, &component));
                }
                Err(error) => return Err(error),
            }
            if here.len() >= MAX_OPEN {
                return Err(Errno::NAMETOOLONG);
            }
            let next = open_beneath(directory, &component)?;
            here.push(next);
            done.push(component);
        }
        match here.pop() {
            Some(directory) => Ok(directory),
            None => open_in(&self.root, b""),
        }
    }
}

fn make_implicit(directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755))?;
    // The process's umask shall not show in the layer.
    rustix::fs::chmodat(directory, name, Mode::from_raw_mode(0o755), AtFlags::empty())
}

/// Components in reverse, for a stack.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|component| !matches!(*component, b"" | b"."))
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

fn joined(parents: &[Vec<u8>], name: &[u8]) -> Vec<u8> {
    let mut path = parents.join(&b'/');
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Opens the directory `path` below `root`, following links inside `root` only.
pub(super) fn open_in(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(
        root,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Opens the directory `name` in `directory`, following nothing.
pub(super) fn open_beneath(directory: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        directory,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Whether this is overlayfs's mark of a deleted entry.
pub(super) fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Makes overlayfs show nothing of the lower layers in this directory.
pub(super) fn set_opaque(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fsetxattr(
        directory,
        "trusted.overlay.opaque",
        b"y",
        rustix::fs::XattrFlags::empty(),
    )
}

/// Removes `name` from `directory`, with everything below it.
///
/// # Errors
/// The first error of the kernel; a name that is not there is none.
pub(crate) fn remove_all(directory: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    let directory = directory.as_fd();
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    remove_directory(directory, name)
}

/// Depth first with a stack of open directories of bounded height: below it, a subdirectory is
/// first moved up, so that no tree is too deep to remove.
fn remove_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let mut stack = vec![(open_beneath(parent, name)?, name.to_vec())];
    while let Some((directory, _)) = stack.last() {
        match empty_files(directory)? {
            Some(subdirectory) if stack.len() < MAX_DEPTH => {
                let opened = open_beneath(directory, &subdirectory)?;
                stack.push((opened, subdirectory));
            }
            Some(subdirectory) => hoist(directory, &subdirectory, &stack[0].0)?,
            None => {
                let (_, name) = stack.pop().expect("the loop saw a last element");
                let above = stack.last().map_or(parent, |(directory, _)| directory.as_fd());
                rustix::fs::unlinkat(above, &name[..], AtFlags::REMOVEDIR)?;
            }
        }
    }
    Ok(())
}

/// How many directories of a tree are open at once while it is removed.
const MAX_DEPTH: usize = 64;

fn hoist(from: &OwnedFd, name: &[u8], to: &OwnedFd) -> Result<(), Errno> {
    for number in 0_u32.. {
        let target = format!(".hoisted-{number}");
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(from, name, to, target.as_str(), flags) {
            Err(Errno::EXIST) => {}
            other => return other,
        }
    }
    Err(Errno::EXIST)
}

/// Unlinks what is not a directory; gives the first subdirectory found.
fn empty_files(directory: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
    let mut subdirectory = None;
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) if subdirectory.is_none() => {
                subdirectory = Some(name.to_vec());
            }
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(subdirectory)
}
