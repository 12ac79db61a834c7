//! Watching a container while it runs, for `events`.

use crate::error::{Error, refused};
use crate::lifecycle::open;
use crate::store::Folder;
use contracts_runtime_api::{Stats, Status};
use runtime_cgroups::Cgroup;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often, and after which time, to look for a kill that the kernel announced: cgroup v1 does so
/// before the deed.
const LOOKS: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What a watched container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The kernel killed in it for want of memory.
    OutOfMemory,
    /// It has ended.
    Ended,
    /// Nothing until the given time.
    Nothing,
}

/// A container that is watched.
pub struct Watch {
    init: OwnedFd,
    cgroup: Box<dyn Cgroup>,
    /// Tells that there may be something to see, where the kernel has that.
    memory: Option<OwnedFd>,
    kills: u64,
    looks_left: u32,
}

impl Watch {
    pub(crate) fn new(root: &Path, id: &str) -> Result<Self, Error> {
        let (folder, record) = Folder::find(root, id)?;
        if folder.status(&record) == Status::Stopped {
            return Err(Error::NotRunning);
        }
        let init = open(&record)?.ok_or(Error::NotRunning)?;
        let cgroup = record.cgroup();
        let memory = cgroup.memory_events();
        let kills = cgroup.oom_kills().unwrap_or(0);
        Ok(Self { init, cgroup, memory, kills, looks_left: 0 })
    }

    /// What the container uses.
    ///
    /// # Errors
    /// It has no cgroup.
    pub fn stats(&self) -> Result<Stats, Error> {
        Ok(self.cgroup.stats()?)
    }

    /// Waits until something happens, or until a time.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&mut self, until: Instant) -> Result<Happening, Error> {
        loop {
            if self.has_killed() {
                return Ok(Happening::OutOfMemory);
            }
            let left = until.saturating_duration_since(Instant::now());
            let pause = if self.looks_left > 0 { left.min(LOOK_PAUSE) } else { left };
            let limit = Timespec {
                tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(pause.subsec_nanos()),
            };
            let mut watched = vec![PollFd::new(&self.init, PollFlags::IN)];
            watched.extend(self.memory.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            match poll(&mut watched, Some(&limit)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(refused("watch the container")(errno)),
            }
            let has_ended = !watched[0].revents().is_empty();
            let is_told = watched.get(1).is_some_and(|memory| !memory.revents().is_empty());
            if has_ended {
                // It is counted before the signal is sent.
                let is_killed = self.has_killed();
                return Ok(if is_killed { Happening::OutOfMemory } else { Happening::Ended });
            }
            if let (true, Some(memory)) = (is_told, &self.memory) {
                runtime_cgroups::drain(memory);
                self.looks_left = LOOKS;
            } else {
                self.looks_left = self.looks_left.saturating_sub(1);
            }
            if Instant::now() >= until {
                return Ok(Happening::Nothing);
            }
        }
    }

    /// Whether the kernel killed since this was asked last.
    fn has_killed(&mut self) -> bool {
        let Some(kills) = self.cgroup.oom_kills() else { return false };
        std::mem::replace(&mut self.kills, kills) < kills
    }
}
