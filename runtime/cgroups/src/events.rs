//! How the kernel tells that it killed in a cgroup for want of memory.

use crate::knob;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// A descriptor that can be read when a process was killed, or is about to be
/// (<https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#oom-control>).
pub(crate) fn v1(memory: &Path) -> Option<OwnedFd> {
    let events = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
    let watched = std::fs::File::open(memory.join("memory.oom_control")).ok()?;
    let line = format!("{} {}", events.as_raw_fd(), watched.as_raw_fd());
    knob::write(memory, "cgroup.event_control", line).ok()?;
    Some(events)
}

/// A descriptor that can be read when `memory.events` has changed.
pub(crate) fn v2(folder: &Path) -> Option<OwnedFd> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let events = inotify::init(flags).ok()?;
    let file = folder.join("memory.events");
    inotify::add_watch(&events, file, inotify::WatchFlags::MODIFY).ok()?;
    Some(events)
}

/// How often it killed, as a file of the cgroup says.
pub(crate) fn kills(folder: &Path, file: &str) -> Option<u64> {
    knob::pairs(folder, file).into_iter().find_map(|(key, n)| (key == "oom_kill").then_some(n))
}

/// Takes what there is to be read from a descriptor, so that it can be waited on again.
pub fn drain(events: &OwnedFd) {
    let mut buffer = [0_u8; 4096];
    while rustix::io::read(events, &mut buffer).map_or_else(|e| e == Errno::INTR, |n| n > 0) {}
}
