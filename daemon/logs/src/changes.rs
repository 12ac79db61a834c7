//! Waiting for a log to change: inotify(7) on its directory, which also sees rotation.

use rustix::fs::inotify;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// Tells that something in the log's directory was written, created or renamed.
pub(crate) struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Watches the directory that `base` lies in; what happens from now on is not missed.
    pub(crate) fn watch(base: &Path) -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let fd = inotify::init(flags)?;
        let directory = base.parent().unwrap_or(Path::new("/"));
        let wanted = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::ONLYDIR;
        inotify::add_watch(&fd, directory, wanted)?;
        #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd stays open while held")]
        let fd = AsyncFd::new(fd)?;
        Ok(Self(fd))
    }

    /// Waits until something has happened since the last call. Cancel-safe: an event that was
    /// not consumed is still there.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer)?)) {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}
