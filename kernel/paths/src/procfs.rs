//! A handle of `/proc` that is known to be one.

use crate::Error;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, fstatfs, openat2, statat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const PROC_ROOT_INODE: u64 = 1;

/// The host's `/proc`. Everything the runtime reads or writes there goes through it, never through
/// a container's own, which may be a forgery (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561).
#[derive(Debug)]
pub struct Procfs(OwnedFd);

impl AsFd for Procfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Procfs {
    /// Opens `/proc` and makes sure that it is procfs' root.
    ///
    /// # Errors
    /// It cannot be opened; `EXDEV` when it is something else.
    pub fn open() -> Result<Self, Error> {
        let failed = |step| move |errno| Error { step, path: "/proc".into(), errno };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open("/proc", flags, Mode::empty()).map_err(failed("open"))?;
        let kind = fstatfs(&descriptor).map_err(failed("look at"))?;
        let stat = statat(&descriptor, "", AtFlags::EMPTY_PATH).map_err(failed("look at"))?;
        if u64::try_from(kind.f_type) != Ok(PROC_SUPER_MAGIC) || stat.st_ino != PROC_ROOT_INODE {
            return Err(failed("no procfs at")(Errno::XDEV));
        }
        Ok(Self(descriptor))
    }

    /// Opens a file below it, `self/oom_score_adj` or `sys/net/…`.
    ///
    /// # Errors
    /// The kernel's; links to open files and links out of `/proc` are refused.
    pub fn open_file(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), how).map_err(|errno| Error {
            step: "open in /proc",
            path: path.to_owned(),
            errno,
        })
    }

    /// Writes a file below it with one `write`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let file = self.open_file(path, OFlags::WRONLY)?;
        rustix::io::retry_on_intr(|| rustix::io::write(&file, content))
            .map(drop)
            .map_err(|errno| Error { step: "write in /proc", path: path.to_owned(), errno })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_procfs_is_recognised_and_its_links_to_files_are_refused() {
        let procfs = Procfs::open().unwrap();
        assert!(procfs.open_file(Path::new("self/status"), OFlags::RDONLY).is_ok());
        let refused = procfs.open_file(Path::new("self/root/etc/passwd"), OFlags::RDONLY);
        assert_eq!(refused.unwrap_err().errno(), Errno::LOOP);
    }
}
