//! A folder that paths are resolved in.

use crate::Error;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2, readlinkat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Most symbolic links followed on one path, the kernel's own bound.
const MAX_LINKS: usize = 40;
/// Most attempts against somebody who keeps renaming folders meanwhile (`EAGAIN`).
const MAX_RACES: usize = 64;

/// A folder; every path given to it, absolute or not, `..` and links included, stays inside.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Root {
    fn from(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

impl Root {
    /// Takes a folder of the host, whose path is trusted.
    ///
    /// # Errors
    /// It cannot be opened, or is no folder.
    pub fn open_trusted(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(Self).map_err(failed("open", path))
    }

    /// Opens what is at `path`.
    ///
    /// # Errors
    /// The kernel's; links of `/proc` that lead to open files are refused with `ELOOP`.
    pub fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
        self.resolve(path, flags, Mode::empty()).map_err(failed("open", path))
    }

    /// Opens the folder at `path`, making it and its parents (mode 0755) where they are missing.
    ///
    /// # Errors
    /// Something on the way exists and is no folder, or the kernel refuses.
    pub fn create_directory(&self, path: &Path) -> Result<OwnedFd, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.resolve(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                if let Some(made) = self.make_last(path) {
                    return Ok(made);
                }
                let made = self.make_missing(path).map_err(failed("create directory", path))?;
                self.open(&made, flags | OFlags::NOFOLLOW)
            }
            result => result.map_err(failed("open directory", path)),
        }
    }

    /// Opens (`O_PATH`) what is at `path`; an empty file is made where nothing is.
    ///
    /// # Errors
    /// A parent is no folder, or the kernel refuses.
    pub fn create_file(&self, path: &Path) -> Result<OwnedFd, Error> {
        match self.resolve(path, OFlags::PATH, Mode::empty()) {
            Err(Errno::NOENT) => {
                let (directory, name) = self.create_parent(path)?;
                let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
                let inside = Root(directory);
                match rustix::fs::openat(&inside, &name, flags, Mode::from_raw_mode(0o755)) {
                    // A dangling link: the file is made where it points to, still inside.
                    Err(Errno::LOOP) => {
                        let target = readlinkat(&inside, &name, Vec::new())
                            .map_err(failed("read link", path))?;
                        let target = OsString::from_vec(target.into_bytes());
                        let whole = path.parent().unwrap_or(Path::new("/")).join(target);
                        let (directory, name) = self.create_parent(&whole)?;
                        rustix::fs::openat(&directory, &name, flags, Mode::from_raw_mode(0o755))
                            .map_err(failed("create file", &whole))?;
                    }
                    result => drop(result.map_err(failed("create file", path))?),
                }
                self.open(path, OFlags::PATH)
            }
            result => result.map_err(failed("open file", path)),
        }
    }

    /// Opens the folder that `path` lies in, making it where it is missing, and gives the last
    /// component, for calls that take a folder and a name.
    ///
    /// # Errors
    /// As [`Root::create_directory`]; `EINVAL` where `path` has no last component.
    pub fn create_parent(&self, path: &Path) -> Result<(OwnedFd, OsString), Error> {
        let name = path.file_name().ok_or(Errno::INVAL).map_err(failed("name of", path))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.create_directory(parent)?, name.to_owned()))
    }

    fn resolve(&self, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        // An absolute path is fine with RESOLVE_IN_ROOT; an empty one means the root itself.
        let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MAX_RACES {
            match openat2(&self.0, path, flags | OFlags::CLOEXEC, mode, how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Makes the last folder of a path whose others exist, which is how nearly all of them are;
    /// nothing where it is otherwise.
    fn make_last(&self, path: &Path) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = self.resolve(path.parent()?, flags, Mode::empty()).ok()?;
        let name = path.file_name()?;
        mkdirat(&parent, name, Mode::from_raw_mode(0o755)).ok()?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&parent, name, flags, Mode::empty()).ok()
    }

    /// Makes the folders of `path` that are missing, following links that lead to places that do
    /// not exist yet (`/var/run -> /run`); the path with all links resolved.
    fn make_missing(&self, path: &Path) -> rustix::io::Result<PathBuf> {
        let mut resolved = PathBuf::from("/");
        let mut rest: VecDeque<OsString> = components(path);
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(&name);
            let found = match self.resolve(&next, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
                Err(Errno::NOENT) => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                    let directory = self.resolve(&resolved, flags, Mode::empty())?;
                    match mkdirat(&directory, &name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    self.resolve(&next, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?
                }
                result => result?,
            };
            let stat = rustix::fs::statat(&found, "", AtFlags::EMPTY_PATH)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => resolved = next,
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = readlinkat(&found, "", Vec::new())?.into_bytes();
                    let target = PathBuf::from(OsString::from_vec(target));
                    if target.is_absolute() {
                        resolved = PathBuf::from("/");
                    }
                    for part in components(&target).into_iter().rev() {
                        rest.push_front(part);
                    }
                }
                _ => return Err(Errno::NOTDIR),
            }
        }
        Ok(resolved)
    }
}

/// The names and `..`s of a path.
fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::new("..").to_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(Errno) -> Error {
    move |errno| Error { step, path: path.to_owned(), errno }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open_trusted(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn links_to_absolute_paths_stay_inside() {
        let (directory, root) = root();
        symlink("/etc", directory.path().join("link")).unwrap();
        assert_eq!(
            root.open(Path::new("/link/passwd"), OFlags::PATH).unwrap_err().errno(),
            Errno::NOENT
        );
        root.create_directory(Path::new("/link/inner")).unwrap();
        assert!(directory.path().join("etc/inner").is_dir());
        assert!(!Path::new("/etc/inner").exists());
    }

    #[test]
    fn dots_cannot_climb_out_while_folders_are_made() {
        let (directory, root) = root();
        root.create_directory(Path::new("../../a/../../b/c")).unwrap();
        assert!(directory.path().join("b/c").is_dir());
        symlink("../../../x", directory.path().join("up")).unwrap();
        root.create_directory(Path::new("up/y")).unwrap();
        assert!(directory.path().join("x/y").is_dir());
    }

    #[test]
    fn a_loop_of_links_is_refused() {
        let (directory, root) = root();
        symlink("b", directory.path().join("a")).unwrap();
        symlink("a", directory.path().join("b")).unwrap();
        assert_eq!(root.create_directory(Path::new("a/c")).unwrap_err().errno(), Errno::LOOP);
    }

    #[test]
    fn a_file_is_made_with_its_parents_and_existing_ones_are_left_alone() {
        let (directory, root) = root();
        root.create_file(Path::new("/etc/hosts")).unwrap();
        std::fs::write(directory.path().join("etc/hosts"), "x").unwrap();
        root.create_file(Path::new("/etc/hosts")).unwrap();
        assert_eq!(std::fs::read(directory.path().join("etc/hosts")).unwrap(), b"x");
    }

    #[test]
    fn a_dangling_link_to_a_file_is_filled_inside() {
        let (directory, root) = root();
        symlink("/run/resolv.conf", directory.path().join("resolv.conf")).unwrap();
        root.create_file(Path::new("/resolv.conf")).unwrap();
        assert!(directory.path().join("run/resolv.conf").is_file());
    }
}
