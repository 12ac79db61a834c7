//! Where the shim's own log lines go: containerd's `log` fifo, or standard error.

use base_telemetry::logger::{self, Format, Level};
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::fs::{Mode, OFlags};
use std::path::Path;

/// The shim's log.
#[derive(Debug)]
pub struct Log {
    /// A fifo; standard error without one.
    fifo: Option<OwnedFd>,
    debug: bool,
}

impl Log {
    /// Opens the bundle's `log` fifo, if there is one and somebody reads it.
    #[must_use]
    pub fn open(bundle: &Path, debug: bool) -> Self {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Self { fifo: rustix::fs::open(bundle.join("log"), flags, Mode::empty()).ok(), debug }
    }

    /// The descriptor that workers keep.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        self.fifo.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether debug lines are written.
    pub(crate) fn is_verbose(&self) -> bool {
        self.debug
    }

    /// Writes one line, of program `shim` where no field says another one.
    pub fn write(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        if level == Level::Debug && !self.debug {
            return;
        }
        let mut all = vec![("program", "shim")];
        if fields.iter().any(|(key, _)| *key == "program") {
            all.clear();
        }
        all.extend_from_slice(fields);
        let line = logger::line(Format::Text, level, message, &all);
        // Whoever does not read the log loses lines; the shim does not wait for it.
        let _ = match &self.fifo {
            Some(fifo) => rustix::io::write(fifo.as_fd(), line.as_bytes()),
            None => rustix::io::write(rustix::stdio::stderr(), line.as_bytes()),
        };
    }
}
