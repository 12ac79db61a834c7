//! Tells when the kernel killed in a container for want of memory.

use crate::reactor::{Reactor, Source, Watched};
use rustix::event::epoll::EventFlags;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::inotify;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the hierarchies are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// How often to look for a kill after an event.
const LOOKS: u32 = 4;

/// A watch on a container's memory cgroup.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    /// An eventfd (v1) or inotify (v2).
    events: Watched,
    /// The file with a line `oom_kill COUNT`.
    counter: PathBuf,
    kills: u64,
    /// How often to look again after an event.
    looks_left: u32,
}

/// What a look at a memory cgroup finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A process was killed.
    Killed,
    /// None was.
    Nothing {
        /// But one may be about to.
        again: bool,
    },
}

impl MemoryWatch {
    /// Watches the memory cgroup of this process; `None` where it has none of its own.
    pub(crate) fn new(reactor: &Reactor, init: u32, pid: u32) -> Option<Self> {
        let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let (events, counter) = match memory_cgroup(&membership)? {
            (true, path) => {
                let counter =
                    Path::new(CGROUPS).join("memory").join(path).join("memory.oom_control");
                (v1_events(&counter).ok()?, counter)
            }
            (false, path) => {
                let counter = Path::new(CGROUPS).join(path).join("memory.events");
                (v2_events(&counter).ok()?, counter)
            }
        };
        let events = reactor.watch(events, Source::Memory(init), EventFlags::IN);
        let kills = kills(&counter);
        Some(Self { events, counter, kills, looks_left: 0 })
    }

    /// Looks whether a process was killed since the last time. (Removing the cgroup is an event
    /// too.)
    pub(crate) fn look(&mut self) -> Look {
        let mut buffer = [0_u8; 4096];
        if rustix::io::read(&self.events, &mut buffer).is_ok() {
            self.looks_left = LOOKS;
        }
        let kills = kills(&self.counter);
        if std::mem::replace(&mut self.kills, kills) < kills {
            self.looks_left = 0;
            return Look::Killed;
        }
        self.looks_left = self.looks_left.saturating_sub(1);
        Look::Nothing { again: self.looks_left > 0 }
    }
}

/// The memory controller's path in `/proc/PID/cgroup`, and whether it is of version 1.
fn memory_cgroup(membership: &str) -> Option<(bool, &str)> {
    let mut unified = None;
    for line in membership.lines() {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|controller| controller == "memory") {
            return Some((true, path));
        }
        if controllers.is_empty() {
            unified = Some((false, path));
        }
    }
    unified
}

/// <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#oom-control>
fn v1_events(control: &Path) -> io::Result<OwnedFd> {
    let events = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let watched = File::open(control)?;
    let line = format!("{} {}", events.as_raw_fd(), watched.as_raw_fd());
    File::options()
        .write(true)
        .open(control.with_file_name("cgroup.event_control"))?
        .write_all(line.as_bytes())?;
    Ok(events)
}

fn v2_events(events: &Path) -> io::Result<OwnedFd> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let inotify = inotify::init(flags)?;
    inotify::add_watch(&inotify, events, inotify::WatchFlags::MODIFY)?;
    Ok(inotify)
}

fn kills(counter: &Path) -> u64 {
    let text = fs::read_to_string(counter).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_cgroup_is_found_in_either_version() {
        let v1 = "9:pids:/a\n8:memory:/a/b\n0::/\n";
        assert_eq!(memory_cgroup(v1), Some((true, "a/b")));
        assert_eq!(memory_cgroup("0::/c/d\n"), Some((false, "c/d")));
        assert_eq!(memory_cgroup("3:cpu,cpuacct:/a\n"), None);
    }
}
